#include "comm/environment.hpp"

#include <chrono>
#include <cstdlib>
#include <string_view>

#include "comm/mpi_call.hpp"
#include "comm/mpi_messenger.hpp"

namespace mgpu::comm {

namespace {

/// The world of one process: nobody to talk to.
class AloneMessenger final : public Messenger {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void post(int, wire::Type, wire::View) override {}
  void post(int, wire::Type, wire::View, std::shared_ptr<void>) override {}
  void flush() override {}
  bool poll(const OnFrame&) override { return false; }
  bool idle() const override { return true; }
};

/// On one node nothing but shared memory is needed, and not looking for networks takes MPI_Init from 0.2 s to 0.02 s. What the
/// user has chosen stays.
void skip_network_search() {
  if (std::getenv("OMPI_MCA_pml") != nullptr || std::getenv("OMPI_MCA_btl") != nullptr) return;
  setenv("OMPI_MCA_pml", "ob1", 0);
  setenv("OMPI_MCA_btl", "self,sm", 0);
}

} // namespace

Environment::Environment(const LauncherFacts& facts) {
  if (facts.launcher.empty()) {
    messenger_ = std::make_unique<AloneMessenger>();
    return;
  }
  if (facts.local_size > 0 && facts.local_size == facts.size) skip_network_search();
  // Ranks that wait inside MPI (start, end) give their core to a worker.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  int provided = 0;
  MGPU_MPI(MPI_Init_thread, nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  started_ = true;
  MGPU_MPI(MPI_Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm shared = MPI_COMM_NULL;
  MGPU_MPI(MPI_Comm_split_type, MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &shared);
  MGPU_MPI(MPI_Comm_rank, shared, &shared_rank_);
  MGPU_MPI(MPI_Comm_size, shared, &shared_size_);
  MPI_Comm_free(&shared);
  messenger_ = std::make_unique<MpiMessenger>(MPI_COMM_WORLD);
  reducer_ = std::make_unique<NodeReducer>(facts.node);
}

Environment::~Environment() {
  messenger_.reset();
  if (reducer_ && reducer_->busy()) abandoned_ = true; // a node does not answer
  reducer_.reset();
  if (started_ && !abandoned_) MPI_Finalize();
}

std::string Environment::version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
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

} // namespace mgpu::comm
