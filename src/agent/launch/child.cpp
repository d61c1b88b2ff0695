#include "agent/launch/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::launch {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const std::string& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

/// In the child between fork and exec: async-signal-safe calls only. `told`: a pipe closed by exec; gets errno if exec fails.
[[noreturn]] void become(char* const* words, pid_t parent, int input, int output, int told) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1); // the parent died before prctl
  for (const int each : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGPIPE, SIGCHLD}) signal(each, SIG_DFL);
  if (input >= 0) dup2(input, STDIN_FILENO);
  if (output >= 0) dup2(output, STDOUT_FILENO);
  execvp(words[0], words);
  const int reason = errno;
  [[maybe_unused]] const auto written = write(told, &reason, sizeof reason);
  _exit(1);
}

pid_t start(const std::vector<std::string>& command, int input, int output) {
  std::array<int, 2> told{};
  if (pipe2(told.data(), O_CLOEXEC) != 0) throw Error(fmt::format("pipe: {}", std::strerror(errno)));
  const std::vector<char*> words = pointers(command);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) become(words.data(), parent, input, output, told[1]);
  const int fork_reason = errno;
  close(told[1]);
  int reason = 0;
  if (pid > 0) {
    setpgid(pid, pid); // parent and child both set it: either may be first
    if (read(told[0], &reason, sizeof reason) <= 0) reason = 0;
  } else {
    reason = fork_reason;
  }
  close(told[0]);
  if (reason == 0) return pid;
  if (pid > 0) waitpid(pid, nullptr, 0);
  throw usage_error(fmt::format("cannot start {}: {}", command.front(), std::strerror(reason)));
}

/// `reads`: from this process's standard input; else from /dev/null.
pid_t start_reading(const std::vector<std::string>& command, bool reads) {
  const int nothing = reads ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
  try {
    const pid_t pid = start(command, nothing, -1);
    if (nothing >= 0) close(nothing);
    return pid;
  } catch (...) {
    if (nothing >= 0) close(nothing);
    throw;
  }
}

} // namespace

Child::Child(const std::vector<std::string>& command, bool reads) : process_(start_reading(command, reads)) {}

Child::~Child() {
  end(0);
}

void Child::end(double patience_s) {
  constexpr double driver_s = 60; // a process that SIGKILL has not ended by then hangs in the kernel
  if (patience_s > 0) {
    signal(SIGTERM);
    signal(SIGCONT); // a stopped process handles no TERM
  }
  if (process_.wait(patience_s)) return;
  process_.signal_group(SIGKILL);
  process_.wait(driver_s);
}

std::string output_of(const std::vector<std::string>& command, double limit_s) {
  constexpr std::size_t most_bytes = 64u << 10;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw Error(fmt::format("pipe: {}", std::strerror(errno)));
  pid_t pid = -1;
  try {
    pid = start(command, -1, ends[1]);
  } catch (...) {
    close(ends[0]);
    close(ends[1]);
    throw;
  }
  close(ends[1]);
  std::string text;
  std::array<char, 512> piece{};
  bool over = false;
  for (const double limit = now_s() + limit_s; !over && now_s() < limit && text.size() < most_bytes;) {
    pollfd waits{ends[0], POLLIN, 0};
    if (poll(&waits, 1, 1000) <= 0) continue;
    const auto count = read(ends[0], piece.data(), piece.size());
    over = count <= 0;
    if (count > 0) text.append(piece.data(), static_cast<std::size_t>(count));
  }
  close(ends[0]);
  if (!over) kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  if (!over && text.empty()) throw Error(fmt::format("{} does not answer", command.front()));
  return text;
}

} // namespace mgpu::agent::launch
