// mgpu_worker: uses a rank's device. Started by its agent, never by a user; does not use MPI.
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>

#include "common/support/inherited.hpp"
#include "common/support/say.hpp"
#include "common/support/temporary_folder.hpp"
#include "common/wire/fork_server.hpp"
#include "worker/device/reason.hpp"
#include "worker/main/job_list.hpp"
#include "worker/run/crash_notes.hpp"
#include "worker/run/session.hpp"
#include "worker/run/worker.hpp"
#include "worker/train/train_session.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::worker;

/// `--socket FD --ring FD --activity FD [--forks FD]`: descriptors inherited from the agent.
std::map<std::string_view, int> parse_descriptors(int argc, char** argv) {
  std::map<std::string_view, int> descriptors;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view value = argv[i + 1];
    int descriptor = -1;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), descriptor);
    if (problem == std::errc() && end == value.data() + value.size()) descriptors[argv[i]] = descriptor;
  }
  for (const char* needed : {"--socket", "--ring", "--activity"})
    if (!descriptors.contains(needed))
      throw usage_error("mgpu_worker is started by mgpu_run; usage: mgpu_worker --socket FD --ring FD --activity FD");
  return descriptors;
}

const WorkEntry& find_job(const std::string& job) {
  for (const WorkEntry& entry : work_list())
    if (entry.name == job) return entry;
  throw usage_error(fmt::format("this worker has no job '{}'", job));
}

std::unique_ptr<WorkerSession> make_session(SessionParts parts) {
  prctl(PR_SET_NAME, "mgpu_worker");
  const WorkEntry& entry = find_job(parts.configure.job);
  if (entry.make_training != nullptr)
    return std::make_unique<train::TrainSession>(
        std::move(parts), [&entry](const std::string&) { return std::unique_ptr<Training>(entry.make_training()); });
  return std::make_unique<Session>(std::move(parts),
                                   [&entry](const std::string&) { return std::unique_ptr<Work>(entry.make()); });
}

int run_worker(const std::map<std::string_view, int>& descriptors) {
  // A program that a job starts must not inherit them: the agent detects the end of the worker by its socket.
  for (const char* each : {"--socket", "--ring", "--activity"}) fcntl(descriptors.at(each), F_SETFD, FD_CLOEXEC);
  wire::Channel channel(descriptors.at("--socket"));
  wire::SharedMemory ring = wire::SharedMemory::map(descriptors.at("--ring"));
  wire::SharedMemory activity_table = wire::SharedMemory::map(descriptors.at("--activity"));
  wire::ActivityTable& board = wire::ActivityTable::in(activity_table);
  note_crashes(board);
  // Without its agent a worker is useless: it ends at once, regardless of its threads.
  Worker worker(channel, ring, board, make_session, [] { _exit(static_cast<int>(ExitCode::failed)); });
  try {
    return worker.run();
  } catch (const Error& error) {
    // The connection is broken; the run thread may be in the model and is not waited for.
    say(stderr, "mgpu_worker: {}\n", error.what());
    std::fflush(nullptr);
    _exit(static_cast<int>(ExitCode::failed));
  }
}

} // namespace

/// Replaces the C library's function. LibTorch unpacks a .pt2 below /tmp regardless of TMPDIR, and a killed worker cannot remove
/// the folder: the agent removes every folder recorded here.
extern "C" char* mkdtemp(char* pattern) noexcept {
  static const auto original = reinterpret_cast<char* (*)(char*)>(dlsym(RTLD_NEXT, "mkdtemp"));
  char* folder = original(pattern);
  if (folder != nullptr) note_folder_elsewhere(folder);
  return folder;
}

int main(int argc, char** argv) {
  mend_inherited_state();
  // Launchers send these to every process of a job; the agent decides what is finished first, and kills its worker.
  for (const int each : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) signal(each, SIG_IGN);
  int code = static_cast<int>(ExitCode::failed);
  try {
    const auto descriptors = parse_descriptors(argc, argv);
    if (const auto forks = descriptors.find("--forks"); forks != descriptors.end()) wire::leave_fork_server(forks->second);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "mgpu_standby"); // shown by ps and top until make_session
    at::set_num_interop_threads(1);
    code = run_worker(descriptors);
  } catch (const Error& error) {
    say(stderr, "mgpu_worker: {}\n", error.what());
    code = static_cast<int>(error.code());
  } catch (const std::exception& error) {
    say(stderr, "mgpu_worker: {}\n", reason_of(error));
  }
  std::fflush(nullptr);
  _exit(code); // the libraries' teardown takes long, and has crashed programs after their work
}
