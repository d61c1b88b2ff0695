#include "agent/dispatch/rank_health.hpp"

#include <algorithm>

namespace mgpu::agent::dispatch {

namespace {
/// After this many rows the counts are halved, so that a mount lost late is detected as soon as one that was never there.
constexpr std::uint64_t window_rows = 512;
/// Rows that must succeed on other ranks before a rank is blamed.
constexpr std::uint64_t least_proof = 8;
/// A rank that fails less than a quarter of its rows is kept; other ranks process those rows.
constexpr std::uint64_t least_share_inverse = 4;
/// Factor over the failure rate of the other ranks together.
constexpr double far_more = 4;
} // namespace

void RankHealth::note_done(int rank, std::uint64_t rows, std::uint64_t unsettled) {
  Count& count = ranks_[static_cast<std::size_t>(rank)];
  count.unsettled += unsettled;
  if (count.done > window_rows) {
    count.done /= 2;
    count.failed /= 2;
    count.well_elsewhere /= 2;
  }
  count.done += rows;
  count.failed += unsettled;
}

void RankHealth::note_settled(int rank, std::uint64_t rows, std::uint64_t well) {
  Count& count = ranks_[static_cast<std::size_t>(rank)];
  count.unsettled -= std::min(count.unsettled, rows);
  count.well_elsewhere += well;
}

bool RankHealth::fails_alone(int rank) const {
  const Count& mine = of(rank);
  if (mine.well_elsewhere < least_proof || mine.failed * least_share_inverse < mine.done) return false;
  std::uint64_t done = 0, failed = 0;
  for (const Count& each : ranks_) {
    if (&each == &mine) continue;
    done += each.done;
    failed += each.failed;
  }
  const double mine_share = static_cast<double>(mine.failed) / static_cast<double>(std::max<std::uint64_t>(mine.done, 1));
  const double others_share = static_cast<double>(failed) / static_cast<double>(std::max<std::uint64_t>(done, 1));
  return mine_share >= far_more * others_share;
}

} // namespace mgpu::agent::dispatch
