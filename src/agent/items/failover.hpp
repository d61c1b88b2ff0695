#pragma once
// Ranks that cannot do what others can: their items are tried elsewhere, and in the end the rank is put aside.
#include <string>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/dispatcher.hpp"
#include "agent/items/unreadable.hpp"

namespace mgpu::agent::items {

class Failover {
 public:
  Failover(RunControl& control, dispatch::Dispatcher& dispatcher);

  /// Of a result that completed `lease`: the rows that go to another rank instead of into the file, as the dispatcher now knows.
  std::vector<Unreadable> rows_for_others(int rank, const dispatch::Lease& lease, const wire::BatchResult& result);
  /// The rank's worker stalled, and was to blame.
  void note_stall(int rank) { ++at(rank).stalls; }
  /// The rank has got something done.
  void note_done(int rank) { at(rank).stalls = 0; }
  /// A rank that stalls again and again, and only this one.
  void give_up_stalled_ranks();
  /// A rank that fails what others can do would only be in the way.
  void put_aside_sick_ranks();

 private:
  struct Trouble {
    std::string reason; ///< why it first could not read an item
    int stalls = 0;     ///< with nothing done between
  };
  Trouble& at(int rank) { return troubles_[static_cast<std::size_t>(rank)]; }

  RunControl& control_;
  dispatch::Dispatcher& dispatcher_;
  std::vector<Trouble> troubles_; ///< by rank
  bool settled_ = false;          ///< a second try was answered
};

} // namespace mgpu::agent::items
