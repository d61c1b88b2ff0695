#include "agent/training/training_progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/support/clock.hpp"

namespace mgpu::agent {

void TrainingProgress::add(const wire::Step& step, double now_s) {
  // Half of the weight is on the last 14 steps.
  constexpr double weight = 0.05;
  const double rate = step.seconds > 0 ? step.samples / step.seconds : 0;
  rate_ = steps_here_ == 0 ? rate : rate_ + weight * (rate - rate_);
  loss_ = steps_here_ == 0 ? step.loss : loss_ + weight * (step.loss - loss_);
  if (steps_here_++ == 0) first_s_ = now_s;
  last_ = step;
}

std::string TrainingProgress::line(double now_s) const {
  if (!last_) return "";
  std::string text = fmt::format("epoch {}/{} · step {}/{} · loss {:.4f} · lr {:.4g} · {:.0f} samples/s", last_->epoch, epochs_,
                                 last_->step, total_, loss_, last_->lr, rate_);
  // The average time per step so far includes validations and checkpoints, so the estimate does, too.
  if (steps_here_ > 1 && total_ > last_->step)
    text += fmt::format(" · {} left", human_duration((now_s - first_s_) / static_cast<double>(steps_here_ - 1) *
                                                     static_cast<double>(total_ - last_->step)));
  return text;
}

std::string describe(const wire::Metrics& metrics) {
  constexpr std::array<std::string_view, 4> shares{"accuracy", "top5", "cer", "wer"};
  std::string text;
  for (const wire::Metric& metric : metrics.values) {
    const bool share = std::find(shares.begin(), shares.end(), metric.name) != shares.end();
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", metric.name,
                        share ? fmt::format("{:.2f} %", 100 * metric.value) : fmt::format("{:.4f}", metric.value));
  }
  return text;
}

} // namespace mgpu::agent
