#pragma once
// Detects late workers, by the activities that their threads record and by the resource usage of the process.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/supervisor/process_usage.hpp"
#include "common/wire/activity_table.hpp"

namespace mgpu::agent {

/// "preparing item 17", "running items 32 to 47".
std::string name_of(const wire::Activity& activity);

class Watchdog {
 public:
  struct Limits {
    double item_timeout_s = 0, stall_timeout_s = 0; ///< 0: none; item_timeout_s < 0: from the worker's measured times
    std::int64_t batch_size = 1;
  };
  struct Late {
    std::string reason;
    std::vector<wire::Activity> suspects;
    bool stalled = false; ///< it was waiting for files
  };
  /// Facts about the worker.
  struct Facts {
    const wire::ActivityTable& activity_table;
    std::function<ProcessUsage()> usage; ///< called rarely
    bool opened = false;                 ///< its model is open
    bool on_gpu = false;
  };

  void set_limits(const Limits& limits) { limits_ = limits; }
  /// A new worker: forgets the observations of the previous one.
  void begin();
  /// This process was suspended until now, and its worker with it (a suspended job): the time does not count.
  void resume(double now);
  /// nullopt while the worker is not late.
  std::optional<Late> look(const Facts& worker, double now);

 private:
  double longest_silence_s() const;
  double limit_s(const wire::Activity& activity, const wire::ActivityTable& activity_table) const;
  std::optional<Late> look_for_idle(const Facts& worker, double now);

  Limits limits_;
  std::uint64_t pulse_ = 0;
  double pulse_s_ = 0;
  double awake_s_ = 0;
  ProcessUsage usage_; ///< usage at usage_s_
  double usage_s_ = 0; ///< 0: the worker has nothing to do
};

} // namespace mgpu::agent
