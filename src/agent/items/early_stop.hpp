#pragma once
#include <algorithm>
#include <string>

namespace mgpu::agent::items {

/// Whether a run of items ends early, why, and how long batches in hand are waited for.
class EarlyStop {
 public:
  /// The first reason counts. `grace_s`: how long batches in hand are waited for.
  void ask(const std::string& reason, double now, double grace_s) {
    if (asked()) return;
    reason_ = reason;
    asked_s_ = now;
    grace_s_ = grace_s;
  }
  bool asked() const { return !reason_.empty(); }
  /// "": it was not asked for.
  const std::string& reason() const { return reason_; }
  /// Batches in hand are not waited for any longer.
  bool expired(double now) const { return asked() && now - asked_s_ >= grace_s_; }
  /// From here on only statistics are waited for.
  void end(double now) { ended_s_ = now; }
  /// How long the ranks may take for them.
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
