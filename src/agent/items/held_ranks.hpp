#pragma once
// Ranks whose GPU is too hot rest; those whose GPU fails leave.
#include <string>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/dispatcher.hpp"

namespace mgpu::agent::items {

class HeldRanks {
 public:
  /// `max_hold_s`: how long the run waits when nobody else may work.
  HeldRanks(RunControl& control, dispatch::Dispatcher& dispatcher, double max_hold_s);

  /// The state of the rank's GPU has changed.
  void note(int rank, const wire::Health& health);
  /// One round: gives up drained ranks whose work is back. "", or why the run must end early: the wait for held ranks was too long, or the
  /// last rank is drained.
  std::string step(double now);
  /// This process was stopped for so long.
  void postpone(double seconds);

  /// A drained rank may finish what it has for so long.
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
  double waits_since_s_ = 0, told_s_ = 0; ///< 0: it does not wait
};

} // namespace mgpu::agent::items
