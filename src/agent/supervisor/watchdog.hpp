#pragma once
// When a worker has taken too long: by what its threads note of themselves, and by whether the process does anything at all.
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
    double item_timeout_s = 0, stall_timeout_s = 0; ///< 0: none; item_timeout_s < 0: by the times that the worker sees
    std::int64_t batch_size = 1;
  };
  struct Late {
    std::string reason;
    std::vector<wire::Activity> suspects;
    bool stalled = false; ///< it waited for files
  };
  /// What is known of the worker.
  struct Facts {
    const wire::ActivityTable& activity_table;
    std::function<ProcessUsage()> usage; ///< asked now and then
    bool opened = false;                 ///< its model is open
    bool on_gpu = false;
  };

  void set_limits(const Limits& limits) { limits_ = limits; }
  /// Another worker: what was seen of the one before does not count.
  void begin();
  /// This process was stopped until now, and its worker with it, as a job is that is suspended: the time does not count.
  void resume(double now);
  /// nullopt while all is well.
  std::optional<Late> look(const Facts& worker, double now);

 private:
  double longest_silence_s() const;
  double limit_s(const wire::Activity& activity, const wire::ActivityTable& activity_table) const;
  std::optional<Late> look_for_idle(const Facts& worker, double now);

  Limits limits_;
  std::uint64_t pulse_ = 0;
  double pulse_s_ = 0;
  double awake_s_ = 0;
  ProcessUsage usage_; ///< what it had done at usage_s_
  double usage_s_ = 0; ///< 0: it has nothing in hand
};

} // namespace mgpu::agent
