#include "worker/train/pass.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "common/support/clock.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/forward.hpp"
#include "worker/train/sampler.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

} // namespace

torch::Tensor Pass::run(const Batch& rows, double weight, std::uint64_t step, bool last, const std::vector<bool>& finished) {
  const Settings& settings = environment_.settings;
  // Random numbers (dropout) depend on the step and the rows, not on earlier steps: a resumed run draws the same numbers.
  torch::manual_seed(visit_seed(settings.seed + 1, step, rows.items.front()->index));
  environment_.faults.before_step(step + 1, settings.attempt);
  environment_.faults.before_rows_of_step(step + 1, rows.size());
  if (const std::optional<torch::Tensor> loss = run_recorded(rows, weight, step, last, finished)) return *loss;
  return run_eagerly(rows, weight, step);
}

torch::Tensor Pass::run_eagerly(const Batch& rows, double weight, std::uint64_t step) {
  const auto began = Clock::now();
  torch::Tensor loss = forward_loss(environment_.training, rows, environment_.context);
  if (environment_.faults.spoils_step(step + 1)) loss = loss * std::numeric_limits<double>::quiet_NaN();
  const auto between = Clock::now();
  loss.backward(torch::full_like(loss, weight));
  const auto ended = Clock::now();
  times_.forward_s += seconds(between - began);
  times_.backward_s += seconds(ended - between);
  environment_.trace.span("forward", run_thread, step, began, between);
  environment_.trace.span("backward", run_thread, step, between, ended);
  return loss.detach();
}

/// nullopt if these rows cannot be recorded. The time counts as forward.
std::optional<torch::Tensor> Pass::run_recorded(const Batch& rows, double weight, std::uint64_t step, bool last,
                                                const std::vector<bool>& finished) {
  const bool in_parts = std::find(finished.begin(), finished.end(), true) != finished.end();
  if (graphs_ == nullptr || in_parts || environment_.faults.spoils_step(step + 1)) return std::nullopt;
  const auto began = Clock::now();
  std::optional<torch::Tensor> loss = graphs_->run(rows, weight, last);
  if (!loss) return loss;
  const auto ended = Clock::now();
  times_.forward_s += seconds(ended - began);
  environment_.trace.span("forward and backward", run_thread, step, began, ended);
  return loss;
}

void Pass::drop_recordings() {
  if (graphs_ != nullptr) graphs_->drop();
}

} // namespace mgpu::worker::train
