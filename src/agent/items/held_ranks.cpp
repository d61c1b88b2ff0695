#include "agent/items/held_ranks.hpp"

#include <fmt/format.h>

#include "common/support/clock.hpp"

namespace mgpu::agent::items {

using wire::GpuState;

namespace {
constexpr double tell_every_s = 60;
} // namespace

HeldRanks::HeldRanks(RunControl& control, dispatch::Dispatcher& dispatcher, double max_hold_s)
    : control_(control),
      dispatcher_(dispatcher),
      max_hold_s_(max_hold_s),
      ranks_(static_cast<std::size_t>(control.rank_table().size())) {}

void HeldRanks::note(int rank, const wire::Health& health) {
  const RankState& state = control_.rank_table().at(rank);
  const std::string who = fmt::format("rank {} on {}", rank, state.join->host);
  Rank& noted = ranks_[static_cast<std::size_t>(rank)];
  noted.since_s = control_.now_s();
  noted.reason = health.reason;
  noted.drained = health.state == GpuState::drained;
  dispatcher_.hold(rank, health.state != GpuState::fine);
  if (health.state == GpuState::held)
    control_.say(fmt::format("{} rests: its GPU {} is {}", who, state.gpu_uuid, health.reason));
  else if (noted.drained)
    control_.say(fmt::format("{} gets no more work: its GPU {} fails: {}; it is left out of runs for a day", who, state.gpu_uuid,
                             health.reason));
  else
    control_.say(fmt::format("{} works again: its GPU {} is {}", who, state.gpu_uuid, health.reason));
}

std::string HeldRanks::step(double now) {
  if (std::string last = drain(now); !last.empty()) return last;
  if (!dispatcher_.waits_for_held(now)) {
    waits_since_s_ = told_s_ = 0;
    return "";
  }
  if (waits_since_s_ == 0) waits_since_s_ = now;
  if (now - waits_since_s_ >= max_hold_s_)
    return fmt::format("nobody may work for {} (--max-hold): {}", human_duration(now - waits_since_s_), describe_held());
  if (told_s_ == 0 || now - told_s_ >= tell_every_s) {
    told_s_ = now;
    control_.say(
        fmt::format("the run waits, at most {} more: {}", human_duration(max_hold_s_ - (now - waits_since_s_)), describe_held()));
  }
  return "";
}

/// Why the run must end: the last rank is drained, and its work is back.
std::string HeldRanks::drain(double now) {
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    const Rank& noted = ranks_[static_cast<std::size_t>(rank)];
    const RankState& state = control_.rank_table().at(rank);
    if (!noted.drained || !state.lost.empty()) continue;
    if (dispatcher_.leases().count(rank) > 0 && now - noted.since_s < drain_limit_s) continue;
    const std::string reason = fmt::format("its GPU {} fails: {}", state.gpu_uuid, noted.reason);
    // Another start leaves this GPU out: nothing is wrong with the run.
    if (control_.rank_table().living() == 1)
      return fmt::format("rank {} on {}, the last one: {}", rank, state.join->host, reason);
    dispatcher_.release(rank, {}, [](const dispatch::Lease&) {}); // what it holds is not to blame
    control_.give_up(rank, reason);
  }
  return "";
}

/// "rank 0 on a: 91 °C, …", a few of them.
std::string HeldRanks::describe_held() const {
  constexpr int most = 4;
  std::string text;
  int count = 0;
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    const RankState& state = control_.rank_table().at(rank);
    if (!dispatcher_.held(rank) || !state.lost.empty() || ++count > most) continue;
    text += fmt::format("{}the GPU of rank {} on {} was {}", count == 1 ? "" : "; ", rank, state.join->host,
                        ranks_[static_cast<std::size_t>(rank)].reason);
  }
  if (count > most) text += fmt::format("; and {} more", count - most);
  return text;
}

void HeldRanks::postpone(double seconds) {
  if (waits_since_s_ > 0) waits_since_s_ += seconds;
  for (Rank& rank : ranks_) rank.since_s += seconds;
}

} // namespace mgpu::agent::items
