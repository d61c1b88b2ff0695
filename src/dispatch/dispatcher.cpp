#include "dispatch/dispatcher.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace mgpu::dispatch {

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
      batch_s_(active_.size(), 0.0),
      completed_(static_cast<std::uint64_t>(std::count(done_.begin(), done_.end(), true))),
      waiting_(plan.batches() - completed_) {}

void Dispatcher::add_rank(int rank) {
  if (active_[index(rank)]) return;
  active_[index(rank)] = true;
  ++active_count_;
}

std::vector<Lease> Dispatcher::lose_rank(int rank) {
  if (active_[index(rank)]) {
    active_[index(rank)] = false;
    --active_count_;
  }
  ++lost_count_;
  if (plan_.schedule() != Schedule::dynamic) queues_[index(rank)].adopted = true;
  const std::vector<Lease> leases = leases_.end_all(rank);
  for (auto lease = leases.rbegin(); lease != leases.rend(); ++lease) returned_.push_front(*lease);
  if (!leases.empty()) ++returned_.front().attempt; // only the oldest was executing; the others merely waited
  waiting_ += leases.size();
  return leases;
}

std::uint64_t Dispatcher::left_for(int rank) const {
  if (plan_.schedule() == Schedule::dynamic) return waiting_;
  std::uint64_t left = returned_.size();
  for (int queue = 0; queue < plan_.queues(); ++queue)
    if (queue == rank || queues_[index(queue)].adopted) left += plan_.queue_length(queue) - queues_[index(queue)].next;
  return left;
}

bool Dispatcher::take(int rank, double now_s, Lease& lease) {
  const auto grant = [&](std::uint64_t batch, std::uint32_t attempt) {
    lease = {batch, attempt, now_s, plan_.cost(batch)};
    --waiting_;
    leases_.add(rank, lease);
    return true;
  };
  if (!returned_.empty()) {
    const Lease again = returned_.front();
    returned_.pop_front();
    return grant(again.batch, again.attempt);
  }
  const auto take_from = [&](int queue) {
    Queue& source = queues_[index(queue)];
    while (!done_.empty() && source.next < plan_.queue_length(queue) && done_[plan_.at(queue, source.next)]) ++source.next;
    if (source.next == plan_.queue_length(queue)) return false;
    return grant(plan_.at(queue, source.next++), 1);
  };
  if (plan_.schedule() == Schedule::dynamic) return take_from(0);
  if (take_from(rank)) return true;
  for (int queue = 0; queue < plan_.queues(); ++queue)
    if (queues_[index(queue)].adopted && take_from(queue)) return true;
  return false;
}

std::uint32_t Dispatcher::credit(int rank) const {
  const double batch_s = batch_s_[index(rank)];
  const double wanted = batch_s > 0 ? options_.credit_s / batch_s : 0.0;
  return static_cast<std::uint32_t>(std::clamp<double>(wanted, options_.least_credit, options_.most_credit));
}

void Dispatcher::pump(double now_s, const std::function<void(int, const Lease&)>& grant) {
  if (stopped_ || waiting_ == 0 || active_count_ == 0) return;
  if (first_pump_s_ < 0) first_pump_s_ = now_s;
  if (plan_.costs_known() && plan_.schedule() == Schedule::dynamic)
    pump_by_cost(now_s, grant);
  else
    pump_by_count(now_s, grant);
}

void Dispatcher::pump_by_count(double now_s, const std::function<void(int, const Lease&)>& grant) {
  Lease lease;
  for (int rank = 0; rank < plan_.ranks(); ++rank) {
    if (!active_[index(rank)]) continue;
    const std::uint64_t left = left_for(rank);
    std::uint64_t room = credit(rank);
    if (plan_.schedule() == Schedule::dynamic) {
      // Towards the end a rank holds no more than its share of what is left (guided self-scheduling: Polychronopoulos and
      // Kuck 1987), down to one: a batch waiting behind a long one on a busy rank is a batch an idle rank could run.
      const std::uint64_t share = left / static_cast<std::uint64_t>(plan_.ranks() - lost_count_);
      room = std::min<std::uint64_t>(room, std::max<std::uint64_t>(1, share));
    }
    // Small batches are topped up in strides, so that one message carries many.
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
  // Longest first, each to the rank expected to be free first, and only as far ahead as that rank's credit: what list
  // scheduling would decide, decided a little before the rank is idle.
  const bool latecomers = active_count_ + lost_count_ < plan_.ranks() && now_s - first_pump_s_ < options_.latecomer_s;
  Lease lease;
  while (waiting_ > 0) {
    int chosen = -1;
    double earliest = std::numeric_limits<double>::infinity();
    for (int rank = 0; rank < plan_.ranks(); ++rank) {
      if (!active_[index(rank)]) continue;
      const double finish = leases_.count(rank) == 0 ? -1.0 : expected_finish_s(rank, now_s);
      if (finish < earliest) {
        earliest = finish;
        chosen = rank;
      }
    }
    if (chosen < 0 || leases_.count(chosen) >= (latecomers ? 1 : credit(chosen)) || !take(chosen, now_s, lease)) return;
    grant(chosen, lease);
  }
}

bool Dispatcher::complete(int rank, std::uint64_t batch, double now_s) {
  const double began_s = leases_.front_since_s(rank);
  const auto lease = leases_.end(rank, batch, now_s);
  if (!lease) return false;
  const double took_s = std::max(now_s - began_s, 1e-7);
  double& batch_s = batch_s_[index(rank)];
  batch_s = batch_s == 0 ? took_s : 0.9 * batch_s + 0.1 * took_s;
  seconds_done_ += took_s;
  cost_done_ += lease->cost;
  ++completed_;
  return true;
}

std::vector<int> Dispatcher::overdue(double now_s) const {
  std::vector<int> ranks;
  if (options_.batch_timeout_s <= 0) return ranks;
  for (int rank = 0; rank < plan_.ranks(); ++rank)
    if (leases_.count(rank) > 0 && now_s - leases_.front_since_s(rank) > options_.batch_timeout_s) ranks.push_back(rank);
  return ranks;
}

} // namespace mgpu::dispatch
