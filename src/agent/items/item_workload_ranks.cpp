// Ranks that cannot read what others can, and an input that no rank can read.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/items/item_workload.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent {

namespace {
/// Of --stall-timeout: how long nothing must have been done before the input may be to blame; when a run that gets nothing read is stopped.
constexpr double nearly = 0.75, longest_quiet = 60;
} // namespace

/// A rank that cannot read some items, or has no memory for them, is not the last word on them: another tries them, once. Its other rows
/// are good.
void ItemWorkload::try_elsewhere(int rank, const dispatch::Lease& lease, const wire::BatchResult& result,
                                 const std::vector<items::Unreadable>& unreadable) {
  std::string& reason = unreadable_[static_cast<std::size_t>(rank)];
  for (std::size_t i = 0; i < result.errors.size() && reason.empty(); ++i)
    if (result.cause(i) != Cause::item) reason = result.errors[i].second;
  const auto accept_rows = [&](std::size_t begin, std::size_t end) {
    if (begin == end) return;
    const wire::BatchResult rows = wire::part_of(result, begin, end);
    const wire::Block block = wire::make_block(rows);
    accept(rank, rows, block.bytes, block.owner);
  };
  std::uint32_t at = 0;
  for (const items::Unreadable& rows : unreadable) {
    accept_rows(at, rows.begin);
    dispatcher_->try_elsewhere(rank, lease, {lease.batch, lease.begin + rows.begin, rows.end - rows.begin}, rows.failed,
                               control_.now_s());
    at = rows.end;
  }
  accept_rows(at, result.rows());
}

/// A rank that fails what others can do would only be in the way.
void ItemWorkload::put_aside_sick_ranks() {
  if (!std::exchange(settled_, false) || !stop_reason_.empty()) return;
  for (int rank = 0; rank < control_.rank_table().size() && control_.rank_table().living() > 1; ++rank) {
    const dispatch::RankHealth& health = dispatcher_->health();
    if (!control_.rank_table().at(rank).lost.empty() || !health.fails_alone(rank)) continue;
    const std::string reason = fmt::format("of its last {} items {} failed there by \"{}\", and others could do them",
                                           health.done(rank), health.failed(rank), unreadable_[static_cast<std::size_t>(rank)]);
    dispatcher_->release(rank, {}, [](const dispatch::Lease&) {}); // what it holds is not to blame
    control_.give_up(rank, reason);
  }
}

/// Since when nothing was done although ranks have work in hand; also the last time that this could not be said.
double ItemWorkload::quiet_since() const {
  return std::max({last_result_s_, first_grant_s_, lively_s_});
}

/// A server that does not answer stalls every rank that reads from it. Rank 0 tries a file itself; where it sees none of them, the other ranks
/// must tell: all have work in hand, and none has got anything done.
bool ItemWorkload::input_is_away() const {
  const double now = control_.now_s(), stall_s = setup_.stall_timeout_s;
  if (now - quiet_since() < nearly * stall_s) return false;
  if (probe_.hangs(now, std::min(1.0, stall_s / 4))) return true;
  if (probe_.read_one()) return false;
  int working = 0;
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    const RankState& state = control_.rank_table().at(rank);
    if (!state.lost.empty()) continue;
    if (state.opened && dispatcher_->leases().count(rank) == 0)
      return false; // it would have done something, had it anything to do
    ++working;
  }
  return working > 1;
}

void ItemWorkload::watch_input(double now) {
  const double stall_s = setup_.stall_timeout_s;
  if (dispatcher_->leases().total() == 0) lively_s_ = now;
  if (stall_s <= 0 || setup_.ship_bytes || now - quiet_since() < stall_s / 2) return;
  if (now - quiet_since() > longest_quiet * stall_s && input_is_away() && stop_reason_.empty()) {
    stop_reason_ = fmt::format("no rank got anything read for {:.0f} s: the input does not answer", now - quiet_since());
    stop_s_ = now;
    grace_s_ = 0;
    dispatcher_->stop();
  }
  if (now - probed_s_ < stall_s / 4) return;
  probed_s_ = now;
  probe_.ask(paths_to_probe(), now);
}

/// Of items that nobody is at: a file that never opens shall not speak for its server.
std::vector<std::string> ItemWorkload::paths_to_probe() {
  constexpr std::size_t wanted = 3;
  constexpr std::uint64_t most_looked_at = 64, stride = 7919;
  const auto held = [&](std::uint64_t batch) {
    for (int rank = 0; rank < control_.rank_table().size(); ++rank)
      if (dispatcher_->leases().holds(rank, batch)) return true;
    return false;
  };
  std::vector<std::string> paths;
  for (std::uint64_t look = 0; look < most_looked_at && paths.size() < wanted; ++look) {
    const std::uint64_t item = stride * ++probed_items_ % plan_->items();
    if (!held(item / plan_->batch_size())) paths.emplace_back(setup_.manifest.path(item));
  }
  for (int rank = 0; paths.empty() && rank < control_.rank_table().size(); ++rank)
    if (dispatcher_->leases().count(rank) > 0)
      paths.emplace_back(setup_.manifest.path(plan_->span(dispatcher_->leases().of(rank).back().batch).first));
  return paths;
}

/// A rank that stalls, and only this one.
void ItemWorkload::give_up_stalled_ranks() {
  for (int rank = 0; rank < control_.rank_table().size(); ++rank)
    if (setup_.max_restarts > 0 && stalls_[static_cast<std::size_t>(rank)] > setup_.max_restarts &&
        control_.rank_table().at(rank).lost.empty())
      control_.give_up(rank, fmt::format("its worker stalled {} times, with nothing done between", setup_.max_restarts + 1));
}

} // namespace mgpu::agent
