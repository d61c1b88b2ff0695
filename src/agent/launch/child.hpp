#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/support/child_process.hpp"

namespace mgpu::agent::launch {

/// A child process in its own process group, so that a terminal's Ctrl-C reaches only this process, which passes it on. The child
/// gets TERM when this process dies.
class Child {
 public:
  /// `reads`: inherits standard input; otherwise reads /dev/null. Throws Error when it cannot be started.
  Child(const std::vector<std::string>& command, bool reads);
  /// Kills it if it still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// waitpid's status once it has ended.
  std::optional<int> ended() { return process_.ended(); }
  void signal(int number) const { process_.signal(number); }
  /// Sends TERM to the process and, if it has not ended after `patience_s`, KILL to its whole group.
  void end(double patience_s);

 private:
  ChildProcess process_;
};

/// The standard output of a program, at most 64 KiB. Throws Error when it cannot be started or prints nothing within `limit_s`.
std::string output_of(const std::vector<std::string>& command, double limit_s = 60);

} // namespace mgpu::agent::launch
