#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/support/child_process.hpp"

namespace mgpu::agent::launch {

/// A program in a process group of its own, so that a terminal's Ctrl-C is for this process to pass on. It gets TERM when this
/// process dies.
class Child {
 public:
  /// `reads`: has this process's standard input; otherwise nothing to read. Throws Error when it cannot be started.
  Child(const std::vector<std::string>& command, bool reads);
  /// Kills what is left.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// waitpid's status once it has ended.
  std::optional<int> ended() { return process_.ended(); }
  void signal(int number) const { process_.signal(number); }
  /// TERM, and KILL when that has not worked after `patience_s`; to its whole group.
  void end(double patience_s);

 private:
  ChildProcess process_;
};

/// What a program prints on standard output, at most 64 KiB of it. Throws Error when it cannot be run or says nothing within `limit_s`.
std::string output_of(const std::vector<std::string>& command, double limit_s = 60);

} // namespace mgpu::agent::launch
