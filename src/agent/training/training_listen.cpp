// What a training workload hears while the ranks train.
#include <fmt/format.h>

#include <algorithm>

#include "agent/coordinator/report.hpp"
#include "agent/training/training_workload.hpp"
#include "common/support/clock.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/text.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

using wire::Type;

void TrainingWorkload::on_frame(int rank, Type type, wire::View payload, const std::shared_ptr<void>& /*owner*/) {
  if (!fresh_[static_cast<std::size_t>(rank)]) return; // of a worker that ends, because all begin again
  heard_s_ = control_.now_s();
  if (!history_ && (type == Type::steps || type == Type::metrics || type == Type::saved))
    throw wire::Malformed("it speaks of steps before the training has begun");
  switch (type) {
    case Type::steps:
      return on_steps(wire::decode<wire::Steps>(payload));
    case Type::metrics:
      return on_metrics(wire::decode<wire::Metrics>(payload));
    case Type::skipped:
      return on_skipped(rank, wire::decode<wire::Skipped>(payload));
    case Type::saved:
      return on_saved(rank, wire::decode<wire::Saved>(payload));
    default:
      return; // of another workload
  }
}

void TrainingWorkload::on_steps(const wire::Steps& steps) {
  progress_.set_total(steps.total);
  for (const wire::Step& step : steps.steps) {
    history_->add(step);
    progress_.add(step, control_.now_s());
    samples_ += step.samples;
    if (step.updated == 0)
      control_.say(fmt::format("step {}: not finite (loss {}); the parameters were left as they were", step.step, step.loss));
  }
  complete_checkpoints();
}

void TrainingWorkload::on_metrics(wire::Metrics metrics) {
  history_->add(metrics);
  control_.say(fmt::format("epoch {}, step {}: validation {} ({}){}", metrics.epoch, metrics.step, agent::describe(metrics),
                           human_duration(metrics.seconds), metrics.best != 0 ? " · best so far" : ""));
  if (metrics.best != 0) best_metrics_ = metrics;
  last_metrics_ = std::move(metrics);
}

void TrainingWorkload::on_skipped(int rank, const wire::Skipped& skipped) {
  for (const wire::SkippedItem& item : skipped.items) {
    const bool held_out = item.part == static_cast<std::uint8_t>(wire::DataPart::validation);
    if (held_out && !training_.validation)
      throw Error(fmt::format("rank {} skipped an item of a validation that there is not", rank));
    const manifest::Manifest& manifest = held_out ? training_.validation->manifest : setup_.manifest;
    if (item.index >= manifest.size())
      throw Error(fmt::format("rank {} skipped item {} of {}", rank, item.index, manifest.size()));
    if (!skipped_.emplace(std::pair(item.part, item.index), item.reason).second) continue; // as in an epoch before
    const std::string text = fmt::format("{}item {} {}: {}", held_out ? "validation " : "", item.index,
                                         show_path(manifest.path(item.index)), item.reason);
    control_.log(rank, log_error, text);
    if (skipped_.size() <= max_reasons_shown) control_.say(fmt::format("rank {}: skipped {}", rank, text));
  }
  if (skipped_.size() <= setup_.max_failures || !stop_reason_.empty() || !error_.empty()) return;
  stop_reason_ = fmt::format("{} items could not be used, --max-failures allows {}", skipped_.size(), setup_.max_failures);
  stop_code_ = ExitCode::failed;
  halt(false, stop_reason_);
}

void TrainingWorkload::on_saved(int rank, wire::Saved saved) {
  if (!saved.error.empty())
    return fail(fmt::format("rank {} on {}: checkpoint {}: {}", rank, control_.rank_table().at(rank).join->host,
                            show_path(saved.folder), saved.error),
                ExitCode::stopped);
  checkpoints_.saved(number_[static_cast<std::size_t>(rank)], std::move(saved));
  complete_checkpoints();
}

/// A checkpoint counts only when the curves up to it are on the disk, too.
void TrainingWorkload::complete_checkpoints() {
  for (const std::uint64_t step : checkpoints_.ready()) {
    if (history_->last_step() < step) continue;
    history_->sync();
    last_checkpoint_ = checkpoints_.complete(step, checkpoint_facts(step));
    control_.log(0, log_info, fmt::format("checkpoint {} is whole", last_checkpoint_));
    std::fill(blamed_.begin(), blamed_.end(), 0); // the training gets on
  }
}

nlohmann::json TrainingWorkload::checkpoint_facts(std::uint64_t step) const {
  nlohmann::json config = config_.json();
  config.erase("classes"); // stands beside it
  const auto list = [](const std::map<ItemPlace, std::string>& places) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& [place, reason] : places) rows.push_back({place.first, place.second, reason});
    return rows;
  };
  return {{"job", setup_.job_name},
          {"model", setup_.model},
          {"signature", trainable_.signature},
          {"parameters", trainable_.parameters},
          {"items", setup_.manifest.size()},
          {"made_of", training_.made_of},
          {"classes", training_.classes},
          {"batch_size", plan_.batch_size},
          {"global_batch", plan_.global_batch},
          {"lr_reference", plan_.lr_reference},
          {"validations", history_->validations(step)},
          {"skipped", list(skipped_)},
          {"given_up", list(given_up_)},
          {"saved", utc_now()},
          {"config", config}};
}

} // namespace mgpu::agent
