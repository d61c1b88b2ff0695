#pragma once
// Whether the files of a run can be read at all: a server that does not answer stalls every rank, and no item is to blame.
#include <memory>
#include <string>
#include <vector>

namespace mgpu::agent {

/// Reads the first byte of each of some files, each on a thread of its own, which may hang as long as the server does, also beyond this object.
class InputProbe {
 public:
  /// Tries `paths`, unless an earlier try is still under way.
  void ask(const std::vector<std::string>& paths, double now);
  /// A try has been under way for longer than `least_s`, and none of its files could be read.
  bool hangs(double now, double least_s) const;
  /// In the last try a file was there and could be read.
  bool read_one() const;

 private:
  struct Try;
  std::shared_ptr<Try> try_;
  double asked_s_ = 0;
};

} // namespace mgpu::agent
