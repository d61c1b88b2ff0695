#pragma once

namespace mgpu {

/// Detects that this process was suspended or starved (`scontrol suspend`, a paused container). Such time must not count against
/// other processes, which may have been suspended with it.
class Suspension {
 public:
  /// Longer than any round takes.
  static constexpr double least_s = 1;

  /// Call it in every round of a loop. Returns how long this process was suspended since the previous round, seconds; 0: not.
  double seconds(double now) {
    const double away_s = round_s_ > 0 ? now - round_s_ : 0;
    round_s_ = now;
    return away_s > least_s ? away_s : 0;
  }

 private:
  double round_s_ = 0; ///< time of the last round; 0: none
};

} // namespace mgpu
