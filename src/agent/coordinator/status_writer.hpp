#pragma once
// Rank 0's words to whoever watches the run from outside: OUTPUT.status.json.
#include <atomic>
#include <memory>
#include <string>

#include "agent/launch/status.hpp"
#include "common/support/background.hpp"

namespace mgpu::agent {

/// A status that cannot be written is warned of once and changes nothing: whoever watches will take the run for lost, and a resume
/// finds it complete.
class StatusWriter {
 public:
  /// `output`: the result file; "" for runs that have none. A run that could not begin (exit code 2) leaves nothing behind, unless a
  /// launcher of ours waits for its word; to that it speaks at once.
  void begin(const std::string& output, const std::string& host);
  /// The run has begun; on the disk.
  void running();
  /// Every few seconds; call as often as you like.
  void beat();
  /// The run has ended; on the disk.
  void done(int exit_code, bool lost_machines);

 private:
  void say_early();
  void write(bool durable);

  std::string output_;
  launch::Status status_;
  std::shared_ptr<std::atomic<bool>> written_ = std::make_shared<std::atomic<bool>>(false),
                                     warned_ = std::make_shared<std::atomic<bool>>(false);
  Background disk_; ///< the folder may stall, the loop that beats must not
  double beat_s_ = 0;
  bool ended_ = false; ///< done() was the last word; ranks are still dismissed, and the loop beats
};

} // namespace mgpu::agent
