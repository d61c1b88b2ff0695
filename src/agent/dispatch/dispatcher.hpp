#pragma once
// Decides which rank gets which batch and when. Uses neither network nor clock, so that tests and simulations can drive it.
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "agent/dispatch/blame.hpp"
#include "agent/dispatch/lease_table.hpp"
#include "agent/dispatch/plan.hpp"
#include "agent/dispatch/rank_health.hpp"

namespace mgpu::agent::dispatch {

struct DispatcherOptions {
  /// Least number of batches a rank may hold: what it needs to overlap loading, copying and running.
  std::uint32_t least_credit = 3;
  /// Largest number: bounds the leases that a lost rank returns. Between the two, enough for `credit_s` at the rank's measured
  /// speed, so that short batches share messages and long ones are granted late.
  std::uint32_t most_credit = 512;
  double credit_s = 0.01;
  /// How long to expect ranks that have not opened yet: until then, with known costs, no rank holds more than one batch.
  double latecomer_s = 2;
  double batch_timeout_s = 0; ///< a lease at the front for longer than this is overdue; 0: never
  /// Node of each rank; empty: each rank is its own node. Rows that failed by reading or memory are retried on another node if
  /// there is one.
  std::vector<int> node_of;
  /// How long such rows wait for a rank on another node.
  double elsewhere_s = 30;
  std::uint32_t retries = 2; ///< retries of a row that killed its worker
};

class Dispatcher {
 public:
  /// `done`, by batch: finished by an earlier run; empty: none.
  Dispatcher(const Plan& plan, const DispatcherOptions& options, std::vector<bool> done = {});

  /// The rank takes part from now on.
  void add_rank(int rank);
  /// The rank's worker died: its leases return to the front of the queue, those with suspects charged and cut (blame.hpp). The
  /// rank gets nothing until it is added again. `failed` is called for each row that is not retried; the row counts as completed.
  void release(int rank, Death death, const std::function<void(const Lease&)>& failed);
  /// As release(), permanently; its oldest lease is the suspect.
  void lose_rank(int rank, const std::function<void(const Lease&)>& failed);

  /// A held rank is granted nothing new; what it has goes on. Whether it has a worker or not makes no difference. With block and cyclic, ranks
  /// without work of their own take from its queue meanwhile.
  void hold(int rank, bool held);
  bool held(int rank) const { return held_[static_cast<std::size_t>(rank)]; }
  /// Nothing is under way, and what waits is for held ranks only: all are held, or no other may take it.
  bool waits_for_held(double now_s) const;

  /// Grants what can be granted now: calls `grant(rank, lease)` for each.
  void pump(double now_s, const std::function<void(int rank, const Lease&)>& grant);
  /// Ends the lease of `batch` that begins at row `begin`, when its result arrives. nullopt: this rank does not hold it (late or
  /// repeated), drop the result. note_rows() must follow. `rows`: only the first rows of the lease, the others follow; 0: all.
  std::optional<Lease> complete(int rank, std::uint64_t batch, std::uint32_t begin, double now_s, std::uint32_t rows = 0);
  /// Number of rows in the lease; 0: the rank does not hold it.
  std::uint32_t rows_of(int rank, std::uint64_t batch, std::uint32_t begin) const { return leases_.rows_of(rank, batch, begin); }
  /// Reports that `unreadable` rows of a lease from complete() failed by reading or memory. True: retry them on another rank with
  /// try_elsewhere() and do not write their failure. False: none failed, this was the second try, or there is no other rank.
  bool note_rows(int rank, const Lease& lease, std::uint32_t unreadable);
  /// Queues rows of that lease for another rank; `unreadable` of them failed.
  void try_elsewhere(int rank, const Lease& lease, const Suspect& rows, std::uint32_t unreadable, double now_s);
  const RankHealth& health() const { return health_; }
  /// Ranks whose oldest lease has been executing for longer than batch_timeout_s.
  std::vector<int> overdue(double now_s) const;
  /// This process was suspended for this time, and perhaps the ranks, too: it does not count.
  void postpone(double seconds) { leases_.postpone(seconds); }

  /// Stops granting except second tries, without which a batch would stay incomplete. Results of held leases are still accepted.
  void stop() { stopped_ = true; }
  bool finished() const { return all_done() || (stopped_ && leases_.total() == 0 && !second_tries_wait()); }
  bool all_done() const { return waiting_ == 0 && leases_.total() == 0; }
  /// Leases that no rank holds.
  std::uint64_t waiting() const { return waiting_; }
  const LeaseTable& leases() const { return leases_; }
  int active_ranks() const { return active_count_; }

 private:
  struct Queue {
    std::uint64_t next = 0; ///< position in the plan's queue
    bool adopted = false;   ///< its rank is lost: every rank may take from it
  };

  void deactivate(int rank);
  /// Ranks with a worker that may be granted something.
  int available() const;
  bool may_take_from(int rank, int queue) const;
  bool second_tries_wait() const;
  bool take(int rank, double now_s, Lease& lease);
  bool take_returned(int rank, Lease& lease, double now_s);
  bool may_try(int rank, const Lease& lease, double now_s) const;
  bool same_node(int a, int b) const;
  bool any_other(int rank, bool on_another_node) const;
  bool holds_suspicious(int rank) const;
  std::uint64_t left_for(int rank) const;
  std::uint32_t credit(int rank) const;
  double expected_finish_s(int rank, double now_s) const;
  void pump_by_count(double now_s, const std::function<void(int, const Lease&)>& grant);
  void pump_by_cost(double now_s, const std::function<void(int, const Lease&)>& grant);

  const Plan& plan_;
  DispatcherOptions options_;
  LeaseTable leases_;
  std::vector<bool> done_; ///< by batch, by an earlier run; empty: none
  std::vector<Queue> queues_;
  std::deque<Lease> returned_; ///< returned after a worker's death, and second tries
  std::vector<bool> active_, lost_, held_;
  RankHealth health_;
  std::vector<double> batch_s_;             ///< by rank: smoothed time per batch, 0: unknown
  double seconds_done_ = 0, cost_done_ = 0; ///< of completed batches: their ratio turns costs into seconds
  std::uint64_t waiting_ = 0;
  int active_count_ = 0, lost_count_ = 0;
  double first_pump_s_ = -1;
  bool stopped_ = false;
};

} // namespace mgpu::agent::dispatch
