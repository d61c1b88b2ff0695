#pragma once
// Handles ranks that fail items which others can process: retries their items on other ranks, and drops such a rank in the end.
#include <string>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/dispatcher.hpp"
#include "agent/items/unreadable.hpp"

namespace mgpu::agent::items {

class Failover {
 public:
  Failover(RunControl& control, dispatch::Dispatcher& dispatcher);

  /// The rows of a result for `lease` that another rank retries, and that are not written now. Informs the dispatcher.
  std::vector<Unreadable> rows_for_others(int rank, const dispatch::Lease& lease, const wire::BatchResult& result);
  /// The rank's worker stalled, and the input was not the cause.
  void note_stall(int rank) { ++at(rank).stalls; }
  /// The rank has finished a batch.
  void note_done(int rank) { at(rank).stalls = 0; }
  /// Drops ranks whose worker stalled too often in a row.
  void give_up_stalled_ranks();
  /// Drops ranks that fail items which others can process.
  void put_aside_sick_ranks();

 private:
  struct Trouble {
    std::string reason; ///< first reason of an item that it could not read
    int stalls = 0;     ///< in a row, without a finished batch
  };
  Trouble& at(int rank) { return troubles_[static_cast<std::size_t>(rank)]; }

  RunControl& control_;
  dispatch::Dispatcher& dispatcher_;
  std::vector<Trouble> troubles_; ///< by rank
  bool settled_ = false;          ///< a second try was answered
};

} // namespace mgpu::agent::items
