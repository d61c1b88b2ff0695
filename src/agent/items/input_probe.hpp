#pragma once
// Tests whether the files of a run can be read at all: a server that does not respond stalls every rank, and no item is to blame.
#include <memory>
#include <string>
#include <vector>

namespace mgpu::agent {

/// Reads the first byte of some files, each on its own thread. A thread may hang as long as the server and outlive this object.
class InputProbe {
 public:
  /// Tries `paths`, unless an earlier try is still running without success.
  void ask(const std::vector<std::string>& paths, double now);
  /// A try has been running for longer than `least_s`, and none of its files could be read.
  bool hangs(double now, double least_s) const;
  /// A file of the last try could be read.
  bool read_one() const;

 private:
  struct Try;
  std::shared_ptr<Try> try_;
  double asked_s_ = 0;
};

} // namespace mgpu::agent
