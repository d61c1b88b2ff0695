#include "agent/items/input_watch.hpp"

#include <algorithm>

namespace mgpu::agent::items {

namespace {
/// Multiples of --stall-timeout without progress: after the first the input may be to blame, after the second the run is stopped.
constexpr double nearly = 0.75, longest_quiet = 60;
} // namespace

/// Rank 0 tries files itself. Where it can read none, the other ranks are the evidence: all have work, and none makes progress.
bool InputWatch::is_away(double now) const {
  const double stall_s = setup_.stall_timeout_s;
  if (quiet_s(now) < nearly * stall_s) return false;
  if (probe_.hangs(now, std::min(1.0, stall_s / 4))) return true;
  if (probe_.read_one()) return false;
  int working = 0;
  for (int rank = 0; rank < rank_table_.size(); ++rank) {
    const RankState& state = rank_table_.at(rank);
    if (!state.lost.empty()) continue;
    if (state.opened && leases_.count(rank) == 0) return false; // an idle rank is no evidence
    ++working;
  }
  return working > 1;
}

bool InputWatch::look(double now) {
  const double stall_s = setup_.stall_timeout_s;
  if (leases_.total() == 0) note_life(now);
  if (stall_s <= 0 || setup_.ship_bytes || quiet_s(now) < stall_s / 2) return false;
  const bool too_long = quiet_s(now) > longest_quiet * stall_s && is_away(now);
  if (now - probed_s_ >= stall_s / 4) {
    probed_s_ = now;
    probe_.ask(paths_to_probe(), now);
  }
  return too_long;
}

/// Paths of items that no rank is processing: a single file that never opens must not count as an unresponsive server.
std::vector<std::string> InputWatch::paths_to_probe() {
  constexpr std::size_t wanted = 3;
  constexpr std::uint64_t most_looked_at = 64, stride = 7919;
  const auto held = [this](std::uint64_t batch) {
    for (int rank = 0; rank < rank_table_.size(); ++rank)
      if (leases_.holds(rank, batch)) return true;
    return false;
  };
  std::vector<std::string> paths;
  for (std::uint64_t look = 0; look < most_looked_at && paths.size() < wanted; ++look) {
    const std::uint64_t item = stride * ++probed_items_ % plan_.items();
    if (!held(item / plan_.batch_size())) paths.emplace_back(setup_.manifest.path(item));
  }
  for (int rank = 0; paths.empty() && rank < rank_table_.size(); ++rank)
    if (leases_.count(rank) > 0) paths.emplace_back(setup_.manifest.path(plan_.span(leases_.of(rank).back().batch).first));
  return paths;
}

} // namespace mgpu::agent::items
