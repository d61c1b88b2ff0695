#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

namespace mgpu {

/// A child of this process from its start to the end of its entry in the process table. The process id stays the child's until this object
/// has seen it end, so that no signal reaches another process.
class ChildProcess {
 public:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// waitpid's status once it has ended; asks the kernel without waiting.
  std::optional<int> ended();
  /// To the process; nothing once it is known to have ended.
  void signal(int number) const;
  /// To its process group, where it leads one.
  void signal_group(int number) const;
  /// Whether it has ended within `limit_s`; one that hangs in a driver outlives SIGKILL.
  bool wait(double limit_s);

 private:
  pid_t pid_;
  std::optional<int> status_;
};

/// "exit code 1", "killed by signal 9 (Killed)"; `more` stands behind the signal's name: "killed by signal 9 (Killed, MORE)".
std::string describe_end(int status, const std::string& more = "");

} // namespace mgpu
