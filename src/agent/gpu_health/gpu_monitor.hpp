#pragma once
// Watches one GPU on a thread of its own, as the driver may not answer for minutes: whoever asks the monitor never waits for it.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/gpu_health/gpu_probe.hpp"

namespace mgpu::agent::gpu_health {

/// What was seen since the observation before.
struct Observation {
  std::optional<wire::GpuSample> sample; ///< none: only an Xid came
  std::vector<std::uint32_t> xids;
  std::string lost; ///< why the GPU can be used no more; "" while it can
};

class GpuMonitor {
 public:
  using OpenProbe = std::function<std::unique_ptr<GpuProbe>()>;
  /// Takes a sample at once and every `interval_s` from then on, and looks for Xids about twice a second. `open` is called on the thread, too.
  GpuMonitor(OpenProbe open, double interval_s);
  /// Waits for the thread if that sleeps; one that is in a call is left behind.
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  /// What was seen since the last call, oldest first.
  std::vector<Observation> take();
  /// The number of the call that the thread is in; 0: it is in none. The same number again: it has not come back.
  std::uint64_t open_call() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace mgpu::agent::gpu_health
