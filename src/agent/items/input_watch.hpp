#pragma once
// Detects an input that does not respond: it stalls every rank that reads from it, and no item is to blame.
#include <cstdint>
#include <string>
#include <vector>

#include "agent/coordinator/rank_table.hpp"
#include "agent/dispatch/lease_table.hpp"
#include "agent/dispatch/plan.hpp"
#include "agent/items/input_probe.hpp"
#include "agent/setup/run_setup.hpp"

namespace mgpu::agent::items {

class InputWatch {
 public:
  InputWatch(const RunSetup& setup, const RankTable& rank_table, const dispatch::Plan& plan, const dispatch::LeaseTable& leases)
      : setup_(setup), rank_table_(rank_table), plan_(plan), leases_(leases) {}

  /// Restarts the measured time: there was progress, or it could not be observed.
  void note_life(double now) { lively_s_ = now; }
  /// True when, as far as rank 0 can tell, no rank can read anything.
  bool is_away(double now) const;
  /// Call it in every round. True when nothing was read for so long that the run must stop.
  bool look(double now);
  /// Time without progress although ranks have work.
  double quiet_s(double now) const { return now - lively_s_; }

 private:
  std::vector<std::string> paths_to_probe();

  const RunSetup& setup_;
  const RankTable& rank_table_;
  const dispatch::Plan& plan_;
  const dispatch::LeaseTable& leases_;
  InputProbe probe_;
  std::uint64_t probed_items_ = 0;
  double probed_s_ = 0, lively_s_ = 0;
};

} // namespace mgpu::agent::items
