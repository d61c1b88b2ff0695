#include "common/support/child_process.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/support/clock.hpp"

namespace mgpu {

std::optional<int> ChildProcess::ended() {
  int status = 0;
  if (!status_ && waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  return status_;
}

void ChildProcess::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

void ChildProcess::signal_group(int number) const {
  if (!status_) ::killpg(pid_, number);
}

bool ChildProcess::wait(double limit_s) {
  constexpr useconds_t shortest_us = 200, longest_us = 20'000;
  useconds_t pause_us = shortest_us;
  for (const double limit = now_s() + limit_s; !ended(); pause_us = std::min(2 * pause_us, longest_us)) {
    if (now_s() >= limit) return false;
    usleep(pause_us);
  }
  return true;
}

std::string describe_end(int status, const std::string& more) {
  if (!WIFSIGNALED(status)) return fmt::format("exit code {}", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  return fmt::format("killed by signal {} ({}{}{})", number, strsignal(number), more.empty() ? "" : ", ", more);
}

} // namespace mgpu
