#pragma once
#include <algorithm>
#include <string>

namespace mgpu::agent::items {

/// The early stop of an item run: its reason, and the time limit of batches in progress.
class EarlyStop {
 public:
  /// Only the first call counts. `grace_s`: time limit of batches in progress.
  void ask(const std::string& reason, double now, double grace_s) {
    if (asked()) return;
    reason_ = reason;
    asked_s_ = now;
    grace_s_ = grace_s;
  }
  bool asked() const { return !reason_.empty(); }
  /// "" when no stop was requested.
  const std::string& reason() const { return reason_; }
  /// The time limit has passed.
  bool expired(double now) const { return asked() && now - asked_s_ >= grace_s_; }
  /// The work has ended; only statistics are missing.
  void end(double now) { ended_s_ = now; }
  /// Time limit of the ranks' statistics, seconds.
  double drain_limit_s() const {
    constexpr double limit_s = 30, last_words_s = 1;
    if (!asked()) return limit_s;
    return std::max(asked_s_ + grace_s_ - ended_s_, std::min(grace_s_, last_words_s));
  }

 private:
  std::string reason_;
  double asked_s_ = 0, grace_s_ = 0, ended_s_ = 0;
};

} // namespace mgpu::agent::items
