#pragma once

namespace mgpu {

/// Notices that this process did not run for a while: it was stopped, or its machine was starved. Time that passed meanwhile is held
/// against nobody, as others may have been suspended with it (`scontrol suspend`, a paused container).
class Suspension {
 public:
  /// Longer between two rounds than any round takes.
  static constexpr double least_s = 1;

  /// To be called in every round of a loop. How long this process was away since the round before, seconds; 0 if it was not.
  double seconds(double now) {
    const double away_s = round_s_ > 0 ? now - round_s_ : 0;
    round_s_ = now;
    return away_s > least_s ? away_s : 0;
  }

 private:
  double round_s_ = 0; ///< of the last round; 0: there was none
};

} // namespace mgpu
