#include "agent/signals.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {

std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void remember(int signal) {
  if (signal == SIGINT && received.load() == SIGINT) _exit(static_cast<int>(ExitCode::stopped));
  received.store(signal);
}

void ignore(int) {}

} // namespace

void catch_signals(bool obey) {
  struct sigaction action {};
  action.sa_handler = obey ? remember : ignore;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR2}) sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

int stop_signal() {
  return received.load();
}

} // namespace mgpu::agent
