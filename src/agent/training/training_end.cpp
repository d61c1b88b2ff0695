// The end of a training: the result file, the tables, the summary.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "agent/coordinator/report.hpp"
#include "agent/training/training_workload.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

namespace {
constexpr auto part_train = static_cast<std::uint8_t>(wire::DataPart::train);
} // namespace

Outcome TrainingWorkload::finish() {
  const RankTable& rank_table = control_.rank_table();
  const auto& last = progress_.last();
  const std::uint64_t step = last_step();
  const bool all_steps = progress_.total() > 0 && step >= progress_.total();
  if (const int silent = rank_table.first_without([](const RankState& state) { return state.stats.has_value(); });
      silent >= 0 && error_.empty() && stop_reason_.empty())
    fail(fmt::format("rank {} on {}: did not end after the last step", silent, rank_table.at(silent).join->host),
         ExitCode::failed);

  Outcome outcome;
  const bool complete = all_steps && error_.empty() && stop_code_ != ExitCode::failed;
  const bool all_used = all_steps || (last && last->epoch > 1);
  outcome.failed = static_cast<std::uint64_t>(
      std::count_if(skipped_.begin(), skipped_.end(), [](const auto& each) { return each.first.first == part_train; }));
  outcome.done = all_used ? setup_.manifest.size() : outcome.failed;
  outcome.run_s = connected_ ? control_.now_s() - connected_s_ : 0;
  outcome.open_s = (connected_ ? connected_s_ : control_.now_s()) - began_s_;
  outcome.error = error_;
  if (!error_.empty()) {
    outcome.code = error_code_ == ExitCode::stopped ? ExitCode::stopped : ExitCode::failed;
  } else if (!complete) {
    outcome.code = stop_code_;
    (stop_code_ == ExitCode::failed ? outcome.error : outcome.stopped) = stop_reason_;
  } else if (!skipped_.empty()) {
    outcome.code = ExitCode::items_failed;
  }

  if (!last && !complete) { // nothing to tell of
    discard_unused();
    return outcome;
  }
  history_->sync();
  put_statuses(all_used);
  const write::Footer footer = output_.finish(complete, rank_table, series());
  print_training_table(footer.ranks, last_metrics_, best_metrics_);
  say("{} steps, {} samples in {} ({:.1f} samples/s)", step, samples_, human_duration(outcome.run_s),
      outcome.run_s > 0 ? static_cast<double>(samples_) / outcome.run_s : 0.0);
  if (last) say(", last loss {:.4f}", last->loss);
  say("; {} items skipped; ranks ready after {}\n", skipped_.size(), human_duration(outcome.open_s));
  if (complete) {
    say("Result: {}\n", setup_.output);
    if (const auto save = config_.get<std::string>("save"); !save.empty()) say("Network: {}\n", save);
    history_.reset();
    std::error_code ignored;
    std::filesystem::remove(write::History::path_of(setup_.output), ignored); // its content is in /training now
  } else {
    say("Stopped early{}{}. {}; the same command with --resume goes on.\n", stop_reason_.empty() ? "" : ": ", stop_reason_,
        last_checkpoint_.empty() ? "No checkpoint was written in this run"
                                 : fmt::format("The checkpoint {} is kept", show_path(last_checkpoint_)));
  }
  std::fflush(stdout);
  write_summary(setup_, outcome, footer, summary());
  return outcome;
}

/// ok: a step used it; failed: skipped. Before the first epoch is over nobody says which items were used.
void TrainingWorkload::put_statuses(bool all_used) {
  constexpr std::uint64_t block_rows = 65536;
  output_.set_columns({});
  for (std::uint64_t first = 0; first < setup_.manifest.size(); first += block_rows) {
    const std::uint64_t rows = std::min(block_rows, setup_.manifest.size() - first);
    std::vector<std::uint8_t> status(rows, static_cast<std::uint8_t>(all_used ? Status::ok : Status::pending));
    const std::vector<std::uint8_t> flags(rows, flag_none);
    const std::vector<float> seconds(rows, 0.0F);
    wire::BatchResult result;
    result.first = first;
    result.attempt = 1;
    for (auto at = skipped_.lower_bound({part_train, first});
         at != skipped_.end() && at->first < std::pair(part_train, first + rows); ++at) {
      const auto row = static_cast<std::uint32_t>(at->first.second - first);
      status[row] = static_cast<std::uint8_t>(Status::failed);
      result.errors.emplace_back(row, at->second);
    }
    result.status = status;
    result.flags = flags;
    result.seconds = seconds;
    const wire::Block block = wire::make_block(result);
    output_.put({-1, block.bytes, block.owner});
  }
}

std::vector<write::Series> TrainingWorkload::series() const {
  std::vector<write::Series> all = history_->series();
  if (!last_metrics_ || last_metrics_->classes.empty()) return all;
  std::vector<std::string> names;
  std::vector<double> accuracy;
  for (const wire::Metric& metric : last_metrics_->classes) {
    names.push_back(metric.name);
    accuracy.push_back(metric.value);
  }
  all.push_back({"class_name", names});
  all.push_back({"class_items", last_metrics_->class_items});
  all.push_back({"class_accuracy", accuracy});
  return all;
}

nlohmann::json TrainingWorkload::summary() const {
  const auto values = [](const std::optional<wire::Metrics>& metrics) {
    nlohmann::json json = nlohmann::json::object();
    if (!metrics) return json;
    json["step"] = metrics->step;
    for (const wire::Metric& metric : metrics->values) json[metric.name] = metric.value;
    return json;
  };
  const auto& last = progress_.last();
  return {{"steps", last ? last->step : 0},
          {"total_steps", progress_.total()},
          {"epochs", last ? last->epoch : 0},
          {"samples", samples_},
          {"samples_per_second", connected_ ? static_cast<double>(samples_) / (control_.now_s() - connected_s_) : 0.0},
          {"global_batch", plan_.global_batch},
          {"loss", last ? nlohmann::json(last->loss) : nlohmann::json()},
          {"validation", values(last_metrics_)},
          {"best", values(best_metrics_)},
          {"skipped", skipped_.size()},
          {"checkpoint", last_checkpoint_},
          {"saved", config_.get<std::string>("save")}};
}

void TrainingWorkload::discard_unused() noexcept {
  if (progress_.last()) return;
  output_.discard();
  if (begin_) return; // the curves before the checkpoint stay
  std::error_code ignored;
  if (history_) { // else they are of an earlier training
    history_.reset();
    std::filesystem::remove(write::History::path_of(setup_.output), ignored);
  }
  // The folder goes if it is empty but for the lock, which nobody can miss there: who waits for it finds it gone and makes it anew.
  if (!Checkpoints::any(training_.checkpoints)) std::filesystem::remove(training_.checkpoints + "/lock", ignored);
  std::filesystem::remove(training_.checkpoints, ignored);
}

} // namespace mgpu::agent
