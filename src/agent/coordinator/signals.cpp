#include "agent/coordinator/signals.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <string_view>

#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {

constexpr unsigned obey_limit_s = 5;
constexpr int last_interrupt = 3;

std::atomic<int> first{0}, interrupts{0};
std::atomic<bool> from_launcher{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");
pid_t launcher = 0; ///< 0: none
bool answers = false;
bool kills_soon = false;                ///< the launcher sends KILL soon after its TERM
std::array<char, 64> launcher_stderr{}; ///< "": mpirun is not the parent, or is on another machine

/// mpirun's standard error: a duplicate of its descriptor, else the same file opened anew; -1: neither. Async-signal-safe.
int open_launcher_stderr() {
  const long process = syscall(SYS_pidfd_open, launcher, 0);
  const long shared = process < 0 ? -1 : syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0);
  if (process >= 0) close(static_cast<int>(process));
  if (shared >= 0) return static_cast<int>(shared);
  return open(launcher_stderr.data(), O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

/// mpirun drops the output of ranks that it ends, so the answer is written to mpirun's own standard error. Async-signal-safe.
void answer() {
  constexpr std::string_view line = "stopping: what is done is kept; the same command with --resume continues\n";
  const int before = errno;
  const int other = from_launcher && launcher_stderr[0] != 0 ? open_launcher_stderr() : -1;
  [[maybe_unused]] const ssize_t written = write(other >= 0 ? other : STDERR_FILENO, line.data(), line.size());
  if (other >= 0) close(other);
  errno = before;
}

void remember(int number, siginfo_t* info, void*) {
  int nothing = 0;
  if (first.compare_exchange_strong(nothing, number)) {
    from_launcher = number == SIGTERM && kills_soon && info->si_pid == launcher;
    if (answers) answer();
  }
  if (number != SIGINT) return;
  const int count = ++interrupts;
  if (count >= last_interrupt) _exit(static_cast<int>(ExitCode::stopped));
  if (count == last_interrupt - 1) alarm(obey_limit_s); // ends the process if the event loop does not
}

/// Records mpirun's standard error if mpirun is the parent; on another host it is mpirun's daemon, whose output is not shown.
void find_launcher_stderr() {
  std::ifstream file(fmt::format("/proc/{}/comm", launcher));
  std::string name;
  std::getline(file, name);
  constexpr std::array<std::string_view, 4> names{"mpirun", "prterun", "orterun", "mpiexec"};
  if (std::find(names.begin(), names.end(), name) == names.end()) return;
  const std::string path = fmt::format("/proc/{}/fd/{}", launcher, STDERR_FILENO);
  std::copy_n(path.begin(), std::min(path.size(), launcher_stderr.size() - 1), launcher_stderr.begin());
}

} // namespace

void catch_signals(comm::Launcher started_by, bool speaks) {
  answers = speaks;
  if (started_by != comm::Launcher::none) launcher = getppid();
  kills_soon = started_by == comm::Launcher::mpirun;
  if (kills_soon && speaks) find_launcher_stderr();
  struct sigaction action {};
  action.sa_sigaction = remember;
  action.sa_flags = SA_RESTART | SA_SIGINFO;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPIPE, &action, nullptr);
}

wire::Signal stop_request() {
  return {first.load(), static_cast<std::uint8_t>(from_launcher.load() ? 1 : 0),
          static_cast<std::uint8_t>(interrupts.load() > 1 ? 1 : 0)};
}

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name != nullptr ? fmt::format("signal {}", name) : fmt::format("signal {}", number);
}

bool launcher_gone() {
  return launcher != 0 && getppid() != launcher;
}

} // namespace mgpu::agent
