#pragma once
// The progress line of a training.
#include <cstdint>
#include <optional>
#include <string>

#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

class TrainingProgress {
 public:
  /// Total number of epochs, as planned.
  void set_epochs(std::uint64_t epochs) { epochs_ = epochs; }
  void add(const wire::Step& step, double now_s);
  /// The training restarts at an earlier step.
  void go_back() { last_.reset(); }
  void set_total(std::uint64_t steps) { total_ = steps; }
  std::uint64_t total() const { return total_; }
  const std::optional<wire::Step>& last() const { return last_; }

  /// "epoch 3/10 · step 45/190 · loss 0.4321 · lr 0.1 · 1234 samples/s · 2 min 05 s left".
  std::string line(double now_s) const;

 private:
  std::uint64_t epochs_ = 0, total_ = 0, steps_here_ = 0;
  double first_s_ = 0;         ///< when the first step of this run was reported
  double rate_ = 0, loss_ = 0; ///< smoothed
  std::optional<wire::Step> last_;
};

/// "loss 0.3121, accuracy 91.25 %, …": shares as percents.
std::string describe(const wire::Metrics& metrics);

} // namespace mgpu::agent
