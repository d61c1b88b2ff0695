// What a training does when a worker or a rank is gone: all begin again from the last checkpoint, or the run fails.
#include <fmt/format.h>

#include <algorithm>

#include "agent/coordinator/report.hpp"
#include "agent/training/training_workload.hpp"
#include "common/support/clock.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

using wire::Type;

namespace {
constexpr double listen_s = 0.5; ///< ranks that miss another one may speak before its agent does
}

void TrainingWorkload::worker_died(int rank, const wire::Died& died) {
  if (!fresh_[static_cast<std::size_t>(rank)]) return; // as it was told
  fresh_[static_cast<std::size_t>(rank)] = false;
  if (losses_.empty()) lost_s_ = control_.now_s();
  Loss& loss = losses_.emplace_back(Loss{rank, died.reason, ExitCode::failed, died.cause, {}});
  // Loaders note one item at a time; whatever else ended a worker is put down to its rank.
  if (died.certain != 0 && died.suspects.size() == 1 && died.suspects.front().rows == 1)
    loss.item = ItemPlace{died.suspects.front().part, died.suspects.front().first};
}

void TrainingWorkload::lost(int rank, const std::string& reason, ExitCode code, bool over) {
  if (over && control_.rank_table().at(rank).stats) return; // its work was done
  const std::string& host = control_.rank_table().at(rank).join->host;
  if (code == ExitCode::usage && !progress_.last()) throw usage_error(reason);
  control_.log(rank, log_error, reason);
  if (losses_.empty()) lost_s_ = control_.now_s();
  losses_.push_back({rank, reason, code, wire::FailureCause::exit, {}});
  if (!over) return; // step() finds out who is to blame
  if (stop_reason_.empty())
    fail(fmt::format("rank {} on {}: {}", rank, host, reason), code);
  else
    halt(true, reason); // the others would wait for it; the checkpoint before is the one to go on from
}

/// Which of the ranks that failed is to blame: one that a signal ended, else one that ended without a report, else the first that
/// reported. The others only missed it.
const TrainingWorkload::Loss& TrainingWorkload::root_cause() const {
  const auto first = [this](const auto& fact) { return std::find_if(losses_.begin(), losses_.end(), fact); };
  auto found = first([](const Loss& loss) { return loss.cause == wire::FailureCause::signal; });
  if (found == losses_.end()) found = first([](const Loss& loss) { return !wire::is_reported(loss.cause); });
  return found == losses_.end() ? losses_.front() : *found;
}

void TrainingWorkload::take_losses(double now) {
  if (now - lost_s_ <= listen_s && control_.rank_table().living() > 0) return;
  const Loss loss = root_cause();
  const int least = config_.get<int>("min-ranks");
  const bool too_often = !loss.item && blamed_[static_cast<std::size_t>(loss.rank)] >= setup_.max_restarts;
  if (too_often && least > 0 && control_.rank_table().living() > least)
    control_.give_up(loss.rank, fmt::format("its worker died {} times: {}", setup_.max_restarts + 1, loss.reason));
  if (may_begin_again(loss)) return begin_again(loss);
  fail(fmt::format("rank {} on {}: {}", loss.rank, control_.rank_table().at(loss.rank).join->host, loss.reason), loss.code);
}

/// A failure that a worker reports would occur again, unless its device or the network is the cause.
bool TrainingWorkload::may_begin_again(const Loss& loss) const {
  const auto out = std::count_if(losses_.begin(), losses_.end(),
                                 [this](const Loss& each) { return !control_.rank_table().at(each.rank).lost.empty(); });
  const int living = control_.rank_table().living(), least = config_.get<int>("min-ranks");
  if (!stop_reason_.empty() || !error_.empty() || setup_.max_restarts <= 0 || living == 0) return false;
  if (out > 0 && (least <= 0 || living < least)) return false;
  if (wire::is_reported(loss.cause) && loss.cause != wire::FailureCause::device && loss.cause != wire::FailureCause::collective)
    return false;
  if (!loss.item && blamed_[static_cast<std::size_t>(loss.rank)] >= setup_.max_restarts &&
      control_.rank_table().at(loss.rank).lost.empty())
    return false;
  // Sums between nodes that are under way in the agents cannot be called back.
  const std::string& node = control_.rank_table().at(0).join->node;
  for (int rank = 0; rank < control_.rank_table().size(); ++rank)
    if (bindings_[static_cast<std::size_t>(rank)].device < 0 && control_.rank_table().at(rank).join->node != node) return false;
  return true;
}

/// An item that has ended --retries + 1 workers is left out from here on, as one that cannot be decoded is; else the rank is to blame.
void TrainingWorkload::charge(const Loss& loss) {
  if (!loss.item) {
    ++blamed_[static_cast<std::size_t>(loss.rank)];
    return;
  }
  if (++deaths_[*loss.item] <= setup_.retries) return;
  given_up_[*loss.item] = fmt::format("{} worker(s) died over it; the last on rank {} ({}): {}", deaths_[*loss.item], loss.rank,
                                      control_.rank_table().at(loss.rank).join->host, loss.reason);
}

void TrainingWorkload::begin_again(const Loss& loss) {
  const int before = ranks_;
  ++attempt_;
  charge(loss);
  if (history_) begin_ = Checkpoints::newest(training_.checkpoints); // else what lies there is of an earlier training
  control_.say(fmt::format(
      "rank {} on {}: {}; all workers begin again {}", loss.rank, control_.rank_table().at(loss.rank).join->host, loss.reason,
      begin_ ? fmt::format("from step {}, {}", begin_->step, show_path(begin_->folder)) : "at the beginning"));
  number_ranks();
  if (ranks_ != before) {
    control_.say(fmt::format("{} rank(s) go on, the global batch of {} stays", ranks_, plan_.global_batch));
    config_.set("global-batch", plan_.global_batch);
    config_.set("lr-reference-batch", plan_.lr_reference);
    plan_ = with_batch(plan_, setup_, ranks_, plan_.batch_size, config_);
  }
  losses_.clear();
  connected_ = false;
  progress_.go_back();
  if (last_metrics_ && last_metrics_->step > last_step()) last_metrics_.reset();
  if (best_metrics_ && best_metrics_->step > last_step()) best_metrics_.reset();
  checkpoints_ = Checkpoints(training_.checkpoints, config_.get<std::size_t>("keep-checkpoints"), ranks_);
  if (history_) open_history();
  pieces_.clear();
  make_pieces();
  wire::Buffer bytes;
  wire::encode(wire::Halt{1, loss.reason}, bytes);
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    const RankState& state = control_.rank_table().at(rank);
    if (!state.lost.empty() || !fresh_[static_cast<std::size_t>(rank)]) continue;
    fresh_[static_cast<std::size_t>(rank)] = false;
    control_.post(rank, Type::halt, wire::View(bytes));
  }
  heard_s_ = control_.now_s();
  control_.configure_waiting(); // workers that stand already in the place of those that died
}

/// Ranks that are not lost, counted from 0.
void TrainingWorkload::number_ranks() {
  const RankTable& rank_table = control_.rank_table();
  number_.assign(static_cast<std::size_t>(rank_table.size()), -1);
  ranks_ = 0;
  for (int rank = 0; rank < rank_table.size(); ++rank)
    if (rank_table.at(rank).lost.empty()) number_[static_cast<std::size_t>(rank)] = ranks_++;
}

int TrainingWorkload::first_rank() const {
  return static_cast<int>(std::find(number_.begin(), number_.end(), 0) - number_.begin());
}

std::uint64_t TrainingWorkload::last_step() const {
  return progress_.last() ? progress_.last()->step : begin_ ? begin_->step : 0;
}

} // namespace mgpu::agent
