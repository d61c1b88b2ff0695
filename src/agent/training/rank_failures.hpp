#pragma once
// Workers and ranks that a training has lost: who is to blame, and whether it may restart.
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
  std::optional<ItemPlace> item; ///< what certainly ended it
};

class RankFailures {
 public:
  explicit RankFailures(RunControl& control);

  void add(RankFailure failure);
  /// None since the training last started.
  bool empty() const { return failures_.empty(); }
  /// Nobody else will speak of the same failure: ranks that miss another one may speak before its agent does.
  bool all_heard(double now) const;
  /// Which of the ranks that failed is to blame: one that a signal ended, else one that ended without a report, else the first that
  /// reported. The others only missed it.
  const RankFailure& root_cause() const;
  /// The rank has failed --max-restarts times since the last checkpoint.
  bool too_often(const RankFailure& failure) const;
  /// `least`: --min-ranks. A failure that a worker reports would occur again, unless its device or the network is the cause.
  bool may_restart(const RankFailure& failure, int least) const;
  /// Holds it against its item, else against its rank. "", or why the item is given up: it has ended --retries + 1 workers.
  std::string charge(const RankFailure& failure);
  /// The training restarts.
  void clear() { failures_.clear(); }
  /// There is a checkpoint: the training gets on.
  void forgive() { blamed_.assign(blamed_.size(), 0); }

 private:
  RunControl& control_;
  std::vector<RankFailure> failures_; ///< in the order in which it was heard
  double first_s_ = 0;
  std::vector<int> blamed_;         ///< by rank: how often since the last checkpoint
  std::map<ItemPlace, int> deaths_; ///< workers that an item certainly ended, in this run
};

} // namespace mgpu::agent
