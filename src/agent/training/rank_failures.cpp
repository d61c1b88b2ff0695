#include "agent/training/rank_failures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace mgpu::agent {

namespace {
constexpr double listen_s = 0.5;
} // namespace

RankFailures::RankFailures(RunControl& control)
    : control_(control), blamed_(static_cast<std::size_t>(control.rank_table().size()), 0) {}

void RankFailures::add(RankFailure failure) {
  if (failures_.empty()) first_s_ = control_.now_s();
  failures_.push_back(std::move(failure));
}

bool RankFailures::all_heard(double now) const {
  return now - first_s_ > listen_s || control_.rank_table().living() == 0;
}

const RankFailure& RankFailures::root_cause() const {
  const auto first = [this](const auto& fact) { return std::find_if(failures_.begin(), failures_.end(), fact); };
  auto found = first([](const RankFailure& failure) { return failure.cause == wire::FailureCause::signal; });
  if (found == failures_.end()) found = first([](const RankFailure& failure) { return !wire::is_reported(failure.cause); });
  return found == failures_.end() ? failures_.front() : *found;
}

bool RankFailures::too_often(const RankFailure& failure) const {
  return !failure.item && blamed_[static_cast<std::size_t>(failure.rank)] >= control_.setup().max_restarts;
}

/// On CPUs the first rank of each node sums with the other nodes, and no other rank can take its place.
bool RankFailures::nodes_can_sum() const {
  const RankTable& rank_table = control_.rank_table();
  std::set<std::string> nodes;
  bool all_first = true;
  for (int rank = 0; rank < rank_table.size(); ++rank)
    if (nodes.insert(rank_table.at(rank).join->node).second) all_first &= rank_table.at(rank).lost.empty();
  return all_first || nodes.size() == 1;
}

bool RankFailures::may_restart(const RankFailure& failure, int least, bool on_gpu) const {
  const RankTable& rank_table = control_.rank_table();
  const bool any_out = std::any_of(failures_.begin(), failures_.end(),
                                   [&](const RankFailure& each) { return !rank_table.at(each.rank).lost.empty(); });
  const int living = rank_table.living();
  if (control_.setup().max_restarts <= 0 || living == 0) return false;
  if (any_out && (least <= 0 || living < least)) return false;
  if (!on_gpu && !nodes_can_sum()) return false;
  if (wire::is_reported(failure.cause) && failure.cause != wire::FailureCause::device &&
      failure.cause != wire::FailureCause::collective)
    return false;
  return !too_often(failure) || !rank_table.at(failure.rank).lost.empty();
}

std::string RankFailures::charge(const RankFailure& failure) {
  if (!failure.item) {
    ++blamed_[static_cast<std::size_t>(failure.rank)];
    return "";
  }
  const int deaths = ++deaths_[*failure.item];
  if (deaths <= control_.setup().retries) return "";
  return fmt::format("{} worker(s) died over it; the last on rank {} ({}): {}", deaths, failure.rank,
                     control_.rank_table().at(failure.rank).join->host, failure.reason);
}

} // namespace mgpu::agent
