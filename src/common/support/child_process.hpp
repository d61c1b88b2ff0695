#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

namespace mgpu {

/// A child process until it is reaped. The process id belongs to the child until this object has reaped it, so that no signal
/// reaches another process.
class ChildProcess {
 public:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// waitpid's status once it has ended; asks the kernel without waiting.
  std::optional<int> ended();
  /// Signals the process; does nothing once it has ended.
  void signal(int number) const;
  /// Signals its process group, of which it must be the leader.
  void signal_group(int number) const;
  /// Waits for its end, at most `limit_s`; whether it has ended. A process that hangs in a driver survives SIGKILL.
  bool wait(double limit_s);

 private:
  pid_t pid_;
  std::optional<int> status_;
};

/// "exit code 1", "killed by signal 9 (Killed)"; `more` follows the signal's name: "killed by signal 9 (Killed, MORE)".
std::string describe_end(int status, const std::string& more = "");

} // namespace mgpu
