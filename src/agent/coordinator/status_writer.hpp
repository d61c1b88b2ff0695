#pragma once
// Rank 0's status file for observers of the run: OUTPUT.status.json.
#include <atomic>
#include <memory>
#include <string>

#include "agent/launch/status.hpp"
#include "common/support/background.hpp"

namespace mgpu::agent {

/// A status that cannot be written causes one warning and nothing else: an observer will assume that the run is lost, and a
/// resume finds it complete.
class StatusWriter {
 public:
  /// `output`: the result file; "" for runs without one. Writes the first status at once if `mgpu_run launch` started the run.
  /// Otherwise a run that could not begin (exit code 2) leaves no file.
  void begin(const std::string& output, const std::string& host);
  /// The run has begun; written durably.
  void running();
  /// Updates the file every few seconds; may be called more often.
  void beat();
  /// The run has ended; written durably.
  void done(int exit_code, bool lost_machines);

 private:
  void say_early();
  void write(bool durable);

  std::string output_;
  launch::Status status_;
  std::shared_ptr<std::atomic<bool>> written_ = std::make_shared<std::atomic<bool>>(false),
                                     warned_ = std::make_shared<std::atomic<bool>>(false);
  Background disk_; ///< the folder may stall, the event loop must not
  double beat_s_ = 0;
  bool ended_ = false; ///< after done(): beats while the ranks are dismissed must not overwrite the last status
};

} // namespace mgpu::agent
