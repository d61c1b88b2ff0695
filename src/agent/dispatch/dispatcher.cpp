#include "agent/dispatch/dispatcher.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace mgpu::agent::dispatch {

namespace {
std::size_t index(int rank) {
  return static_cast<std::size_t>(rank);
}
} // namespace

Dispatcher::Dispatcher(const Plan& plan, const DispatcherOptions& options, std::vector<bool> done)
    : plan_(plan),
      options_(options),
      leases_(plan.ranks()),
      done_(std::move(done)),
      queues_(static_cast<std::size_t>(plan.queues())),
      active_(index(plan.ranks()), false),
      lost_(active_.size(), false),
      held_(active_.size(), false),
      health_(plan.ranks()),
      batch_s_(active_.size(), 0.0),
      waiting_(plan.batches() - static_cast<std::uint64_t>(std::count(done_.begin(), done_.end(), true))) {}

void Dispatcher::add_rank(int rank) {
  if (active_[index(rank)]) return;
  active_[index(rank)] = true;
  ++active_count_;
}

void Dispatcher::deactivate(int rank) {
  if (!active_[index(rank)]) return;
  active_[index(rank)] = false;
  --active_count_;
}

void Dispatcher::hold(int rank, bool held) {
  held_[index(rank)] = held;
}

int Dispatcher::available() const {
  int count = 0;
  for (std::size_t rank = 0; rank < active_.size(); ++rank) count += active_[rank] && !held_[rank] ? 1 : 0;
  return count;
}

/// A batch that nobody has tried is anybody's, or its own rank's and that is held or coming up. A second try that only waits for its time is not
/// for held ranks.
bool Dispatcher::waits_for_held(double now_s) const {
  if (finished() || leases_.total() > 0) return false;
  const bool untried = !stopped_ && waiting_ > returned_.size();
  bool any_held = false;
  for (int rank = 0; rank < plan_.ranks(); ++rank) {
    if (lost_[index(rank)]) continue;
    any_held |= held_[index(rank)];
    if (held_[index(rank)]) continue;
    if (!active_[index(rank)] || untried) return false;
    const double later_s = now_s + 2 * options_.elsewhere_s;
    for (const Lease& lease : returned_)
      if ((!stopped_ || lease.second_try()) && may_try(rank, lease, later_s)) return false;
  }
  return any_held;
}

void Dispatcher::release(int rank, Death death, const std::function<void(const Lease&)>& failed) {
  deactivate(rank);
  death.has_other_gpu = any_other(rank, false);
  const std::vector<Lease> leases = leases_.end_all(rank);
  std::vector<Lease> again;
  for (const Lease& lease : leases) {
    const Verdict verdict = judge(lease, death, options_.retries);
    again.insert(again.end(), verdict.again.begin(), verdict.again.end());
    for (const Lease& row : verdict.failed) {
      if (row.second_try()) health_.note_settled(row.failed_on, row.unreadable, 0);
      failed(row);
    }
  }
  returned_.insert(returned_.begin(), again.begin(), again.end());
  waiting_ += again.size();
}

void Dispatcher::lose_rank(int rank, const std::function<void(const Lease&)>& failed) {
  Death death;
  if (leases_.count(rank) > 0) {
    const Lease& oldest = leases_.of(rank).front();
    death.suspects.push_back({oldest.batch, oldest.begin, oldest.rows});
  }
  release(rank, death, failed);
  lost_[index(rank)] = true;
  ++lost_count_;
  if (plan_.schedule() != Schedule::dynamic) queues_[index(rank)].adopted = true;
}

/// With block and cyclic.
bool Dispatcher::may_take_from(int rank, int queue) const {
  return queue == rank || queues_[index(queue)].adopted || held_[index(queue)];
}

std::uint64_t Dispatcher::left_for(int rank) const {
  if (plan_.schedule() == Schedule::dynamic) return waiting_;
  std::uint64_t left = returned_.size();
  for (int queue = 0; queue < plan_.queues(); ++queue)
    if (may_take_from(rank, queue)) left += plan_.queue_length(queue) - queues_[index(queue)].next;
  return left;
}

bool Dispatcher::holds_suspicious(int rank) const {
  return leases_.count(rank) > 0 && leases_.of(rank).front().suspicious(); // it is granted alone
}

bool Dispatcher::second_tries_wait() const {
  return std::any_of(returned_.begin(), returned_.end(), [](const Lease& lease) { return lease.second_try(); });
}

bool Dispatcher::same_node(int a, int b) const {
  return a == b || (!options_.node_of.empty() && options_.node_of[index(a)] == options_.node_of[index(b)]);
}

/// Whether another rank (on another node) is in the run.
bool Dispatcher::any_other(int rank, bool on_another_node) const {
  for (int other = 0; other < plan_.ranks(); ++other)
    if (other != rank && !lost_[index(other)] && !(on_another_node && same_node(rank, other))) return true;
  return false;
}

/// Prefers another node, then another rank. Does not wait longer than elsewhere_s for a rank that does not open.
bool Dispatcher::may_try(int rank, const Lease& lease, double now_s) const {
  if (rank == lease.broke_on) return !any_other(rank, false);
  if (!lease.second_try()) return true;
  if (!same_node(rank, lease.failed_on)) return true;
  const bool waited = now_s - lease.granted_at_s > options_.elsewhere_s;
  if (rank != lease.failed_on) return waited || !any_other(lease.failed_on, true);
  return !any_other(rank, false) || (waited && available() == 1);
}

bool Dispatcher::note_rows(int rank, const Lease& lease, std::uint32_t unreadable) {
  if (lease.second_try()) {
    health_.note_settled(lease.failed_on, lease.unreadable, lease.unreadable - std::min(lease.unreadable, unreadable));
    return false;
  }
  const bool again = unreadable > 0 && any_other(rank, false);
  health_.note_done(rank, lease.rows, 0);
  return again;
}

void Dispatcher::try_elsewhere(int rank, const Lease& lease, const Suspect& rows, std::uint32_t unreadable, double now_s) {
  Lease part = lease;
  part.begin = rows.begin;
  part.rows = rows.rows;
  part.cost = lease.cost * rows.rows / std::max(lease.rows, 1u);
  part.failed_on = rank;
  part.unreadable = unreadable;
  part.granted_at_s = now_s;
  returned_.push_back(part);
  ++waiting_;
  health_.note_done(rank, 0, unreadable);
}

bool Dispatcher::take_returned(int rank, Lease& lease, double now_s) {
  const bool idle = leases_.count(rank) == 0;
  const auto found = std::find_if(returned_.begin(), returned_.end(), [&](const Lease& each) {
    return (idle || !each.suspicious()) && (!stopped_ || each.second_try()) && may_try(rank, each, now_s);
  });
  if (found == returned_.end()) return false;
  lease = *found;
  returned_.erase(found);
  return true;
}

bool Dispatcher::take(int rank, double now_s, Lease& lease) {
  if (holds_suspicious(rank)) return false;
  const auto take_from = [&](int queue) {
    Queue& source = queues_[index(queue)];
    while (!done_.empty() && source.next < plan_.queue_length(queue) && done_[plan_.at(queue, source.next)]) ++source.next;
    if (source.next == plan_.queue_length(queue)) return false;
    const std::uint64_t batch = plan_.at(queue, source.next++);
    lease = {batch, 0, plan_.span(batch).count, 1, now_s, plan_.cost(batch)};
    return true;
  };
  const auto take_any = [&] {
    if (take_returned(rank, lease, now_s)) return true;
    if (stopped_) return false;
    if (health_.held_back(rank) && available() > 1) return false;
    if (plan_.schedule() == Schedule::dynamic) return take_from(0);
    if (take_from(rank)) return true;
    for (int queue = 0; queue < plan_.queues(); ++queue)
      if (may_take_from(rank, queue) && take_from(queue)) return true;
    return false;
  };
  if (!take_any()) return false;
  lease.granted_at_s = now_s;
  --waiting_;
  leases_.add(rank, lease);
  return true;
}

std::uint32_t Dispatcher::credit(int rank) const {
  const double batch_s = batch_s_[index(rank)];
  const double wanted = batch_s > 0 ? options_.credit_s / batch_s : 0.0;
  return static_cast<std::uint32_t>(std::clamp<double>(wanted, options_.least_credit, options_.most_credit));
}

void Dispatcher::pump(double now_s, const std::function<void(int, const Lease&)>& grant) {
  if ((stopped_ && !second_tries_wait()) || waiting_ == 0 || available() == 0) return;
  if (first_pump_s_ < 0) first_pump_s_ = now_s;
  if (plan_.costs_known() && plan_.schedule() == Schedule::dynamic)
    pump_by_cost(now_s, grant);
  else
    pump_by_count(now_s, grant);
}

void Dispatcher::pump_by_count(double now_s, const std::function<void(int, const Lease&)>& grant) {
  Lease lease;
  for (int rank = 0; rank < plan_.ranks(); ++rank) {
    if (!active_[index(rank)] || held_[index(rank)]) continue;
    const std::uint64_t left = left_for(rank);
    std::uint64_t room = credit(rank);
    if (plan_.schedule() == Schedule::dynamic) {
      // Towards the end a rank holds no more than its share of the remaining batches, at least one (guided self-scheduling:
      // Polychronopoulos and Kuck 1987): a batch that waits on a busy rank could run on an idle one.
      const std::uint64_t share = left / static_cast<std::uint64_t>(plan_.ranks() - lost_count_);
      room = std::min<std::uint64_t>(room, std::max<std::uint64_t>(1, share));
    }
    // Short batches are granted in groups, so that one message carries many.
    const std::uint64_t held = leases_.count(rank);
    if (held >= room || (room > 16 && held > room - room / 4)) continue;
    for (std::uint64_t more = room - held; more > 0 && take(rank, now_s, lease); --more) grant(rank, lease);
  }
}

double Dispatcher::expected_finish_s(int rank, double now_s) const {
  const double scale = cost_done_ > 0 ? seconds_done_ / cost_done_ : 1.0;
  if (leases_.count(rank) == 0) return now_s;
  return std::max(now_s, leases_.front_since_s(rank) + leases_.cost(rank) * scale);
}

void Dispatcher::pump_by_cost(double now_s, const std::function<void(int, const Lease&)>& grant) {
  // List scheduling: the longest batch first, to the rank expected to be free first, but only within that rank's credit, so that
  // a batch is granted shortly before the rank is idle.
  std::vector<bool> skipped(active_.size(), false); // no waiting lease is for this rank
  const bool latecomers = active_count_ + lost_count_ < plan_.ranks() && now_s - first_pump_s_ < options_.latecomer_s;
  Lease lease;
  while (waiting_ > 0) {
    int chosen = -1;
    double earliest = std::numeric_limits<double>::infinity();
    for (int rank = 0; rank < plan_.ranks(); ++rank) {
      if (!active_[index(rank)] || held_[index(rank)] || skipped[index(rank)] || holds_suspicious(rank)) continue;
      const double finish = leases_.count(rank) == 0 ? -1.0 : expected_finish_s(rank, now_s);
      if (finish < earliest) {
        earliest = finish;
        chosen = rank;
      }
    }
    if (chosen < 0 || leases_.count(chosen) >= (latecomers ? 1 : credit(chosen))) return;
    if (take(chosen, now_s, lease))
      grant(chosen, lease);
    else
      skipped[index(chosen)] = true;
  }
}

std::optional<Lease> Dispatcher::complete(int rank, std::uint64_t batch, std::uint32_t begin, double now_s, std::uint32_t rows) {
  if (rows > 0 && rows < leases_.rows_of(rank, batch, begin)) return leases_.end_rows(rank, batch, begin, rows);
  const double began_s = leases_.front_since_s(rank);
  const auto lease = leases_.end(rank, batch, begin, now_s);
  if (!lease) return std::nullopt;
  const double took_s = std::max(now_s - began_s, 1e-7);
  double& batch_s = batch_s_[index(rank)];
  batch_s = batch_s == 0 ? took_s : 0.9 * batch_s + 0.1 * took_s;
  seconds_done_ += took_s;
  cost_done_ += lease->cost;
  return lease;
}

std::vector<int> Dispatcher::overdue(double now_s) const {
  std::vector<int> ranks;
  if (options_.batch_timeout_s <= 0) return ranks;
  for (int rank = 0; rank < plan_.ranks(); ++rank)
    if (leases_.count(rank) > 0 && now_s - leases_.front_since_s(rank) > options_.batch_timeout_s) ranks.push_back(rank);
  return ranks;
}

} // namespace mgpu::agent::dispatch
