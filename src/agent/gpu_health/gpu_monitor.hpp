#pragma once
// Watches one GPU on a thread of its own, because the driver may not answer for minutes. Callers never wait for the driver.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/gpu_health/gpu_probe.hpp"

namespace mgpu::agent::gpu_health {

/// What the GPU showed since the previous observation.
struct Observation {
  std::optional<wire::GpuSample> sample; ///< none: only an Xid event
  std::vector<std::uint32_t> xids;
  std::string lost; ///< why the GPU cannot be used any more; "" while it can
};

class GpuMonitor {
 public:
  using OpenProbe = std::function<std::unique_ptr<GpuProbe>()>;
  /// Takes a sample at once and then every `interval_s`, and looks for Xid events about twice a second. `open` is also called on the thread.
  GpuMonitor(OpenProbe open, double interval_s);
  /// Waits for the thread if it sleeps; abandons it if it is in a call.
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  /// The observations since the last call, oldest first.
  std::vector<Observation> take();
  /// The number of the driver call that the thread is in; 0: none. The same number again: the call has not returned.
  std::uint64_t open_call() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace mgpu::agent::gpu_health
