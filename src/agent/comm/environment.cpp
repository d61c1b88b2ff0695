#include "agent/comm/environment.hpp"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "agent/comm/mpi_handles.hpp"
#include "agent/comm/mpi_messenger.hpp"
#include "agent/comm/process_failure.hpp"

namespace mgpu::agent::comm {

namespace {

/// Messenger of a run with one process.
class AloneMessenger final : public Messenger {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void post(int, wire::Type, wire::View) override {}
  void post(int, wire::Type, wire::View, std::shared_ptr<void>) override {}
  void flush() override {}
  bool poll(const OnFrame&) override { return false; }
  bool idle(int) const override { return true; }
  bool idle() const override { return true; }
  std::vector<int> take_dead() override { return {}; }
};

/// On one node only shared memory is needed, and MPI_Init takes 0.02 s instead of 0.2 s when it does not search for networks. The
/// user's own settings are kept.
void skip_network_search() {
  if (std::getenv("OMPI_MCA_pml") != nullptr || std::getenv("OMPI_MCA_btl") != nullptr) return;
  setenv("OMPI_MCA_pml", "ob1", 0);
  const bool older = Environment::version().starts_with("Open MPI v4"); // its shared-memory transport has another name
  setenv("OMPI_MCA_btl", older ? "self,vader" : "self,sm", 0);
}

constexpr unsigned close_limit_s = 10;

/// Ends the process by SIGALRM after a time limit, because MPI_Init and MPI_Finalize wait for the other ranks without limit. The
/// destructor restores the earlier handler and alarm.
class Deadline {
 public:
  /// `line`: printed at the limit; "": nothing. Must stay valid until the process ends.
  Deadline(unsigned limit_s, int exit_code, std::string_view line) {
    code_ = exit_code;
    line_ = line;
    handler_ = signal(SIGALRM, leave);
    seconds_ = alarm(limit_s);
  }
  ~Deadline() {
    alarm(0);
    signal(SIGALRM, handler_);
    alarm(seconds_);
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  static void leave(int) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, line_.data(), line_.size());
    _exit(code_);
  }
  static inline int code_ = 0;
  static inline std::string_view line_;
  sighandler_t handler_;
  unsigned seconds_;
};

} // namespace

Environment::Environment(const LauncherFacts& facts, unsigned start_limit_s) {
  if (facts.launcher == Launcher::none) {
    messenger_ = std::make_unique<AloneMessenger>();
    return;
  }
  if (facts.local_size > 0 && facts.local_size == facts.size) skip_network_search();
  // Ranks that wait inside MPI (start, end) yield their core to a worker.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  const Deadline deadline(
      start_limit_s, static_cast<int>(ExitCode::stopped),
      facts.rank == 0 ? "MPI did not start in time: a rank died on its way, or a host is slow (--start-timeout)\n" : "");
  int provided = 0;
  MGPU_MPI(MPI_Init_thread, nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  started_ = true;
  MGPU_MPI(MPI_Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  const auto shared = Communicator::split_shared(MPI_COMM_WORLD);
  shared_rank_ = shared.rank();
  shared_size_ = shared.size();
  messenger_ = std::make_unique<MpiMessenger>(MPI_COMM_WORLD);
  reducer_ = std::make_unique<NodeReducer>(facts.node);
  survives_failures_ = comm::survives_failures();
}

void Environment::close(int exit_code) {
  if (!std::exchange(started_, false)) return;
  const Deadline deadline(close_limit_s, exit_code, ""); // freeing communicators is collective, too
  messenger_.reset();
  const bool unanswered = reducer_ && reducer_->busy();
  reducer_.reset();
  if (unanswered) return; // a node does not answer: MPI_Finalize would wait for it
  MPI_Finalize();
}

std::string Environment::version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MGPU_MPI(MPI_Get_library_version, text.data(), &length);
  const std::string_view whole(text.data());
  return std::string(whole.substr(0, whole.find(',')));
}

double Environment::self_test() {
  if (!started_) return 0;
  const auto begin = std::chrono::steady_clock::now();
  const int rank = messenger_->rank();
  const int size = messenger_->size();
  double mine = rank + 1.0;
  double sum = 0;
  MGPU_MPI(MPI_Allreduce, &mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  const double expected = size * (size + 1.0) / 2; // 1 + 2 + … + size
  if (sum != expected) throw Error(fmt::format("MPI all-reduce gave {} instead of {}", sum, expected));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

} // namespace mgpu::agent::comm
