#pragma once
// Workers and ranks that a training has lost: which one is to blame, and whether the training may restart.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/training/unusable_items.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

struct RankFailure {
  int rank = 0;
  std::string reason;
  ExitCode code = ExitCode::failed;
  wire::FailureCause cause = wire::FailureCause::other;
  std::optional<ItemPlace> item; ///< the item that certainly caused it
};

class RankFailures {
 public:
  explicit RankFailures(RunControl& control);

  void add(RankFailure failure);
  /// No failure since the last start of the training.
  bool empty() const { return failures_.empty(); }
  /// No further report of the same failure is expected: ranks that wait for a lost rank may report before its agent does.
  bool all_heard(double now) const;
  /// The failure to blame: an end by signal, else an end without a report, else the first report. The other ranks only waited for
  /// that rank.
  const RankFailure& root_cause() const;
  /// The rank has failed --max-restarts times since the last checkpoint.
  bool too_often(const RankFailure& failure) const;
  /// `least`: --min-ranks. A failure that a worker reports would occur again, unless the device or the network is the cause.
  bool may_restart(const RankFailure& failure, int least, bool on_gpu) const;
  /// Charges the failure to its item, else to its rank. Returns "", or why the item is given up: it ended --retries + 1 workers.
  std::string charge(const RankFailure& failure);
  /// For a restart of the training.
  void clear() { failures_.clear(); }
  /// A checkpoint is complete: resets the counts by rank.
  void forgive() { blamed_.assign(blamed_.size(), 0); }

 private:
  bool nodes_can_sum() const;

  RunControl& control_;
  std::vector<RankFailure> failures_; ///< in the order of arrival
  double first_s_ = 0;
  std::vector<int> blamed_;         ///< by rank: failures since the last checkpoint
  std::map<ItemPlace, int> deaths_; ///< workers in this run that the item certainly ended
};

} // namespace mgpu::agent
