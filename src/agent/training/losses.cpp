#include "agent/training/losses.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mgpu::agent {

namespace {
constexpr double listen_s = 0.5;
} // namespace

Losses::Losses(RunControl& control) : control_(control), blamed_(static_cast<std::size_t>(control.rank_table().size()), 0) {}

void Losses::add(Loss loss) {
  if (losses_.empty()) first_s_ = control_.now_s();
  losses_.push_back(std::move(loss));
}

bool Losses::all_heard(double now) const {
  return now - first_s_ > listen_s || control_.rank_table().living() == 0;
}

const Loss& Losses::root_cause() const {
  const auto first = [this](const auto& fact) { return std::find_if(losses_.begin(), losses_.end(), fact); };
  auto found = first([](const Loss& loss) { return loss.cause == wire::FailureCause::signal; });
  if (found == losses_.end()) found = first([](const Loss& loss) { return !wire::is_reported(loss.cause); });
  return found == losses_.end() ? losses_.front() : *found;
}

bool Losses::too_often(const Loss& loss) const {
  return !loss.item && blamed_[static_cast<std::size_t>(loss.rank)] >= control_.setup().max_restarts;
}

bool Losses::may_restart(const Loss& loss, int least) const {
  const RankTable& rank_table = control_.rank_table();
  const bool any_out =
      std::any_of(losses_.begin(), losses_.end(), [&](const Loss& each) { return !rank_table.at(each.rank).lost.empty(); });
  const int living = rank_table.living();
  if (control_.setup().max_restarts <= 0 || living == 0) return false;
  if (any_out && (least <= 0 || living < least)) return false;
  if (wire::is_reported(loss.cause) && loss.cause != wire::FailureCause::device && loss.cause != wire::FailureCause::collective)
    return false;
  return !too_often(loss) || !rank_table.at(loss.rank).lost.empty();
}

std::string Losses::charge(const Loss& loss) {
  if (!loss.item) {
    ++blamed_[static_cast<std::size_t>(loss.rank)];
    return "";
  }
  const int deaths = ++deaths_[*loss.item];
  if (deaths <= control_.setup().retries) return "";
  return fmt::format("{} worker(s) died over it; the last on rank {} ({}): {}", deaths, loss.rank,
                     control_.rank_table().at(loss.rank).join->host, loss.reason);
}

} // namespace mgpu::agent
