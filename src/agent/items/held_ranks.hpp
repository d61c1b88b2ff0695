#pragma once
// Ranks whose GPU is too hot get no new work; ranks whose GPU fails leave the run.
#include <string>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/dispatcher.hpp"

namespace mgpu::agent::items {

class HeldRanks {
 public:
  /// `max_hold_s`: how long the run waits while all ranks are held.
  HeldRanks(RunControl& control, dispatch::Dispatcher& dispatcher, double max_hold_s);

  /// The state of the rank's GPU has changed.
  void note(int rank, const wire::Health& health);
  /// One round of the event loop: gives up drained ranks that hold no work. Returns "", or why the run must stop early: all ranks were held for
  /// too long, or the last rank is drained.
  std::string step(double now);
  /// This process was suspended for this time.
  void postpone(double seconds);

  /// Time for a drained rank to finish the work that it holds.
  static constexpr double drain_limit_s = 60;

 private:
  struct Rank {
    bool drained = false;
    double since_s = 0;
    std::string reason;
  };
  std::string drain(double now);
  std::string describe_held() const;

  RunControl& control_;
  dispatch::Dispatcher& dispatcher_;
  double max_hold_s_;
  std::vector<Rank> ranks_;
  double waits_since_s_ = 0, told_s_ = 0; ///< 0: not waiting
};

} // namespace mgpu::agent::items
