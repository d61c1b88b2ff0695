#pragma once
#include <functional>
#include <string>

#include "agent/comm/messenger.hpp"
#include "agent/coordinator/rank_table.hpp"

namespace mgpu::agent {

/// Sends a heartbeat to every rank, and finds those that have fallen silent.
class RankHeartbeats {
 public:
  RankHeartbeats(comm::Messenger& messenger, RankTable& ranks, double timeout_s)
      : messenger_(messenger), ranks_(ranks), timeout_s_(timeout_s) {}
  /// To be called about once a second. `watch`: false while ranks may still be starting. A rank from which nothing was heard within the time
  /// limit is told to `silent`; another agent on its node is asked to end it.
  void beat(double now, bool watch, const std::function<void(int rank, const std::string& reason)>& silent);

 private:
  void end_agent(int rank);

  comm::Messenger& messenger_;
  RankTable& ranks_;
  double timeout_s_;
};

} // namespace mgpu::agent
