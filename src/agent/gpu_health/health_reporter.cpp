#include "agent/gpu_health/health_reporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace mgpu::agent::gpu_health {

namespace {
constexpr double look_every_s = 0.1;
/// Between two looks counts no more than this: this process may have been suspended, and its monitor with it.
constexpr double longest_step_s = 1;
} // namespace

HealthReporter::HealthReporter(GpuMonitor::OpenProbe open, double interval_s, HealthSettings settings) : rules_(settings) {
  try {
    monitor_ = std::make_unique<GpuMonitor>(std::move(open), interval_s);
  } catch (const std::system_error&) { // no more threads; the run needs none of this
  }
}

std::optional<wire::Health> HealthReporter::poll(double now) {
  if (monitor_ == nullptr || now - looked_s_ < look_every_s) return std::nullopt;
  const double silent_s = this->silent_s(now);
  for (const Observation& seen : monitor_->take()) {
    Judgement judgement = rules_.judge(seen);
    wire::Health health;
    health.sample = seen.sample.value_or(wire::GpuSample());
    health.xids = seen.xids;
    health.state = judgement.state;
    health.reason = std::move(judgement.reason);
    health.warnings = std::move(judgement.warnings);
    due_.push_back(std::move(health));
  }
  if (silent_s >= silent_after_s && !std::exchange(told_silent_, true)) {
    wire::Health health;
    const Judgement judgement = rules_.judge({});
    health.state = judgement.state;
    health.reason = judgement.reason;
    health.warnings.push_back(
        fmt::format("its driver (NVML) has not answered for {:.0f} s; nothing is known of it meanwhile", silent_s));
    due_.push_back(std::move(health));
  }
  if (silent_s == 0) told_silent_ = false;
  if (due_.empty()) return std::nullopt;
  wire::Health health = std::move(due_.front());
  due_.erase(due_.begin());
  return health;
}

/// For how long the monitor has been in one call.
double HealthReporter::silent_s(double now) {
  const std::uint64_t call = monitor_->open_call();
  const double step_s = looked_s_ > 0 ? std::min(now - looked_s_, longest_step_s) : 0;
  silent_s_ = call != 0 && call == call_ ? silent_s_ + step_s : 0;
  call_ = call;
  looked_s_ = now;
  return silent_s_;
}

} // namespace mgpu::agent::gpu_health
