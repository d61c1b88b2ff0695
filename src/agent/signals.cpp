#include "agent/signals.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
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

/// Only what a signal handler may call.
void answer() {
  constexpr std::string_view line = "stopping: what is done is kept; the same command with --resume goes on\n";
  const int before = errno;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  errno = before;
}

void remember(int number, siginfo_t* info, void*) {
  int nothing = 0;
  if (first.compare_exchange_strong(nothing, number)) {
    from_launcher = number == SIGTERM && launcher != 0 && info->si_pid == launcher;
    if (answers) answer();
  }
  if (number != SIGINT) return;
  const int count = ++interrupts;
  if (count >= last_interrupt) _exit(static_cast<int>(ExitCode::stopped));
  if (count == last_interrupt - 1) alarm(obey_limit_s); // ends the process if the event loop does not
}

} // namespace

void catch_signals(bool launched, bool speaks) {
  answers = speaks;
  if (launched) launcher = getppid();
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
