#pragma once
// Makes an agent's messages about its GPU for rank 0.
#include <memory>
#include <optional>
#include <string>

#include "agent/gpu_health/gpu_monitor.hpp"
#include "agent/gpu_health/health_rules.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent::gpu_health {

class HealthReporter {
 public:
  /// Starts to watch. Reports nothing if no thread can be started.
  HealthReporter(GpuMonitor::OpenProbe open, double interval_s, HealthSettings settings);

  /// The next message, if one is due; never waits. To be called in every round of the event loop. A driver that does not answer is reported once.
  std::optional<wire::Health> poll(double now);

  static constexpr double silent_after_s = 30;

 private:
  double silent_s(double now);

  std::unique_ptr<GpuMonitor> monitor_;
  HealthRules rules_;
  std::vector<wire::Health> due_; ///< oldest first
  std::uint64_t call_ = 0;        ///< the monitor was in when it was last looked at
  double looked_s_ = 0, silent_s_ = 0;
  bool told_silent_ = false;
};

} // namespace mgpu::agent::gpu_health
