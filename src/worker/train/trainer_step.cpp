// One optimizer step over the global batch.
#include <fmt/format.h>

#include <cmath>

#include "common/wire/items_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/train/step_sums.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int run_thread = 1; ///< thread id in the trace
constexpr double steps_sent_every_s = 0.1;
constexpr std::size_t most_steps_unsent = 256;

/// What ranks tell each other before an update, summed; behind these stands one flag a rank: its loss was not finite.
enum Fact : std::size_t { loss_sum, rows_done, rows_skipped, losses_not_finite, out_of_memory, stop_asked, first_flag };

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

std::string item_list(const std::vector<std::uint64_t>& items) {
  constexpr std::size_t most_named = 8;
  std::string text;
  for (std::size_t at = 0; at < items.size() && at < most_named; ++at) text += fmt::format(" {}", items[at]);
  return items.size() > most_named ? text + " …" : text;
}

/// One copy, not one a micro-batch: each waits for the device.
std::vector<double> to_host(const std::vector<std::pair<torch::Tensor, std::int64_t>>& losses, DeviceStreams& streams) {
  if (losses.empty()) return {};
  std::vector<torch::Tensor> scalars;
  for (const auto& [loss, rows] : losses) scalars.push_back(loss.reshape({}));
  const torch::Tensor fetched = streams.fetch(torch::stack(scalars));
  streams.finish(streams.record());
  const torch::Tensor values = fetched.to(torch::kFloat64);
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

} // namespace

bool Trainer::do_step() {
  const auto begin = Clock::now();
  if (feed_ == nullptr) {
    const double strength = settings_.stages[stage_].augment_strength;
    auto prepare_row = [this, strength](const wire::BatchRange& range, std::size_t row, Sample& sample) {
      const Item& item = range.items[row];
      prepare(wire::DataPart::train, item, {visit_seed(settings_.seed, range.epoch, item.index), strength}, sample);
    };
    feed_ = std::make_unique<UnitFeed>(training_, prepare_row,
                                       loader_settings(wire::DataPart::train, plan_->stages[stage_].batch_size), trace_, streams_,
                                       [this](wire::BatchRange& range) { return next_unit(range); });
  }
  const Range mine =
      share(plan_->samples(step_), static_cast<std::uint64_t>(context_.rank), static_cast<std::uint64_t>(context_.world_size));
  const auto unit_rows = static_cast<std::uint64_t>(plan_->stages[stage_].batch_size);
  const std::uint64_t units = (mine.size() + unit_rows - 1) / unit_rows;
  training_.set_training(true);
  gradients_->begin_step();
  StepSums sums;
  for (std::uint64_t index = 0; index < units; ++index) {
    const auto asked = Clock::now();
    std::optional<Unit> unit = feed_->take();
    times_.load_wait_s += seconds(Clock::now() - asked);
    if (!unit) throw Error("the loaders ended before the training did");
    run_unit(*unit, index + 1 == units, sums);
    feed_->done(std::move(*unit));
    ++units_;
  }
  check_unused();

  std::vector<double> facts(first_flag + static_cast<std::size_t>(context_.world_size), 0.0);
  const auto waited = Clock::now();
  double& flag = facts[first_flag + static_cast<std::size_t>(context_.rank)]; // 0, or 1 + the first item of a bad batch
  const std::vector<double> losses = to_host(sums.losses, streams_);
  for (std::size_t at = 0; at < losses.size(); ++at) {
    const double loss = losses[at];
    if (!std::isfinite(loss)) {
      if (flag == 0) flag = 1 + static_cast<double>(sums.items[at].front());
      sums.not_finite += item_list(sums.items[at]);
    }
    sums.loss_sum += loss * static_cast<double>(sums.losses[at].second);
  }
  times_.backward_s += seconds(Clock::now() - waited); // of a GPU, whose backward goes on until its losses can be read
  facts[loss_sum] = sums.loss_sum;
  facts[rows_done] = static_cast<double>(sums.rows);
  facts[rows_skipped] = static_cast<double>(sums.skipped);
  facts[losses_not_finite] = flag > 0 ? 1 : 0;
  facts[out_of_memory] = static_cast<double>(sums.out_of_memory);
  facts[stop_asked] = stop_ ? 1 : 0;

  collective::StepRequest request;
  request.facts = facts;
  request.decide = [this](std::span<const double> all) { return decide(all); };
  request.clip_norm = settings_.clip_norm;
  request.check_finite = loss_scale_.active();
  const auto reduced = Clock::now();
  const collective::StepResult result = exchange_->step(request);
  times_.reduce_wait_s += result.wait_s;
  times_.update_s += result.update_s;
  trace_.span("reduce and update", run_thread, step_, reduced, Clock::now());

  ++step_;
  if (result.updated) ++updates_;
  agree_on_memory(facts);
  const double seconds_taken = seconds(Clock::now() - begin);
  report_step(sums, facts, result, seconds_taken);
  watch_finite(facts, sums);
  if (facts[losses_not_finite] == 0 && facts[rows_done] > 0) loss_scale_.note(result.updated);
  return facts[stop_asked] > 0;
}

void Trainer::check_unused() {
  const std::vector<std::string> unused = gradients_->end_step();
  // A rank without samples in a small last batch has no gradients at all.
  if (settings_.find_unused || unused.empty() || unused.size() == gradients_->network().placed.size()) return;
  throw Error(fmt::format(
      "parameter {} took no part in the loss of step {} ({} such in all); if that is meant, give --find-unused-parameters",
      unused.front(), step_ + 1, unused.size()));
}

collective::Decision Trainer::decide(std::span<const double> facts) const {
  collective::Decision decision;
  decision.update = facts[losses_not_finite] == 0 && facts[rows_done] > 0;
  // Gradients were weighted by the planned size of the batch; samples that could not be prepared are taken out here.
  if (facts[rows_done] > 0)
    decision.gradient_scale = static_cast<double>(plan_->samples(step_)) / facts[rows_done] / loss_scale_.scale();
  decision.hyper = settings_.hyper;
  decision.hyper.lr = plan_->lr(step_);
  decision.hyper.step = updates_ + 1;
  return decision;
}

void Trainer::agree_on_memory(std::span<const double> facts) {
  if (facts[out_of_memory] > 0)
    micro_.agree(
        static_cast<std::int64_t>(exchange_->least(static_cast<double>(micro_.rows()), "micro-batch after out of memory")));
  else
    micro_.note_good_step();
}

void Trainer::watch_finite(std::span<const double> facts, const StepSums& sums) {
  if (facts[losses_not_finite] == 0) {
    not_finite_ = 0;
    return;
  }
  if (!sums.not_finite.empty())
    reports_.log(2, fmt::format("the loss of step {} is not finite; items{}; the step changed nothing", step_, sums.not_finite));
  if (++not_finite_ < settings_.max_nonfinite) return;
  std::string where; // the same text on every rank: whichever is first ends the run
  for (int rank = 0; rank < context_.world_size; ++rank)
    if (const double flag = facts[first_flag + static_cast<std::size_t>(rank)]; flag > 0)
      where +=
          fmt::format("{}rank {} (the batch of item {})", where.empty() ? "" : ", ", rank, static_cast<std::uint64_t>(flag - 1));
  exchange_->barrier("last step before the end");
  flush_steps();
  throw Error(
      fmt::format("the loss was not finite in {} steps in a row; at step {} on {}; a smaller --lr, --clip-norm or "
                  "other data may help",
                  not_finite_, step_, where));
}

void Trainer::report_step(const StepSums& sums, std::span<const double> facts, const collective::StepResult& result,
                          double taken_s) {
  if (context_.rank != 0) return;
  wire::Step step;
  step.step = step_;
  step.epoch = plan_->epoch_number(step_ - 1);
  step.samples = static_cast<std::uint32_t>(facts[rows_done]);
  step.skipped = static_cast<std::uint32_t>(facts[rows_skipped]);
  step.micro_batch = static_cast<std::uint32_t>(micro_.rows());
  step.accumulation = sums.backwards;
  step.updated = result.updated ? 1 : 0;
  step.loss = facts[loss_sum] / facts[rows_done];
  step.lr = plan_->lr(step_ - 1);
  step.grad_norm = result.grad_norm;
  step.loss_scale = loss_scale_.scale();
  step.seconds = taken_s;
  unsent_.total = plan_->steps;
  unsent_.steps.push_back(step);
  if (unsent_.steps.size() >= most_steps_unsent || seconds(Clock::now() - sent_) > steps_sent_every_s) flush_steps();
}

void Trainer::flush_steps() {
  sent_ = Clock::now();
  if (!unsent_.steps.empty()) reports_.steps(unsent_);
  unsent_.steps.clear();
}

} // namespace mgpu::worker::train
