#include "worker/train/step_reporter.hpp"

namespace mgpu::worker::train {

wire::Step step_record(const Plan& plan, const Progress& progress, const StepFacts& facts, const collective::StepResult& result,
                       std::uint32_t backwards, double taken_s) {
  wire::Step step;
  step.step = progress.step;
  step.epoch = plan.epoch_number(progress.step - 1);
  step.samples = static_cast<std::uint32_t>(facts.rows());
  step.skipped = static_cast<std::uint32_t>(facts.skipped());
  step.micro_batch = static_cast<std::uint32_t>(progress.micro_batch.rows());
  step.accumulation = backwards;
  step.updated = result.updated ? 1 : 0;
  step.loss = facts.loss_sum() / facts.rows();
  step.lr = plan.lr(progress.step - 1);
  step.grad_norm = result.grad_norm;
  step.loss_scale = progress.loss_scale.scale();
  step.seconds = taken_s;
  return step;
}

void StepReporter::begin(std::uint64_t total) {
  sent_s_ = clock_();
  unsent_.total = total;
  send_(unsent_);
}

void StepReporter::add(const wire::Step& step) {
  unsent_.steps.push_back(step);
  if (unsent_.steps.size() >= most_unsent || clock_() - sent_s_ > most_delay_s) flush();
}

void StepReporter::flush() {
  sent_s_ = clock_();
  if (!unsent_.steps.empty()) send_(unsent_);
  unsent_.steps.clear();
}

} // namespace mgpu::worker::train
