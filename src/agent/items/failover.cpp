#include "agent/items/failover.hpp"

#include <fmt/format.h>

#include <utility>

namespace mgpu::agent::items {

namespace {
/// Maximum number of leases for the retried rows of a batch; each names all items of the batch.
constexpr std::size_t most_parts = 8;
} // namespace

Failover::Failover(RunControl& control, dispatch::Dispatcher& dispatcher)
    : control_(control), dispatcher_(dispatcher), troubles_(static_cast<std::size_t>(control.rank_table().size())) {}

/// Items that a rank cannot read, or has no memory for, are retried once on another rank. The other rows of its result are used.
std::vector<Unreadable> Failover::rows_for_others(int rank, const dispatch::Lease& lease, const wire::BatchResult& result) {
  const std::vector<Unreadable> unreadable = unreadable_rows(result, most_parts);
  std::uint32_t failed = 0;
  for (const Unreadable& rows : unreadable) failed += rows.failed;
  settled_ |= lease.second_try();
  if (!dispatcher_.note_rows(rank, lease, failed)) return {};
  std::string& reason = at(rank).reason;
  for (std::size_t i = 0; i < result.errors.size() && reason.empty(); ++i)
    if (result.cause(i) != Cause::item) reason = result.errors[i].second;
  for (const Unreadable& rows : unreadable)
    dispatcher_.try_elsewhere(rank, lease, {lease.batch, lease.begin + rows.begin, rows.end - rows.begin}, rows.failed,
                              control_.now_s());
  return unreadable;
}

void Failover::give_up_stalled_ranks() {
  const int most = control_.setup().max_restarts;
  for (int rank = 0; rank < control_.rank_table().size(); ++rank)
    if (most > 0 && at(rank).stalls > most && control_.rank_table().at(rank).lost.empty())
      control_.give_up(rank, fmt::format("its worker stalled {} times, with nothing done between", most + 1));
}

void Failover::put_aside_sick_ranks() {
  if (!std::exchange(settled_, false)) return;
  for (int rank = 0; rank < control_.rank_table().size() && control_.rank_table().living() > 1; ++rank) {
    const dispatch::RankHealth& health = dispatcher_.health();
    if (!control_.rank_table().at(rank).lost.empty() || !health.fails_alone(rank)) continue;
    const std::string reason = fmt::format("of its last {} items {} failed there by \"{}\", and others could do them",
                                           health.done(rank), health.failed(rank), at(rank).reason);
    dispatcher_.release(rank, {}, [](const dispatch::Lease&) {}); // its leases are not charged
    control_.give_up(rank, reason);
  }
}

} // namespace mgpu::agent::items
