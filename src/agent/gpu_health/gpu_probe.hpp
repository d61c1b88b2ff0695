#pragma once
// One GPU as its driver shows it.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/wire/control_messages.hpp"

namespace mgpu::agent::gpu_health {

/// Calls may hang: only for the monitor's thread.
class GpuProbe {
 public:
  virtual ~GpuProbe() = default;
  /// What could be read; the rest is unknown. `lost`: set to the driver's words when the GPU can be used no more.
  virtual wire::GpuSample sample(std::string& lost) = 0;
  /// Xid errors since the last call, in order. Does not wait for one.
  virtual std::vector<std::uint32_t> take_xids() = 0;
};

/// A GPU by UUID through NVML. nullptr where there is nothing to see: no NVML, a MIG slice that it does not know, no permission. A GPU that is lost
/// already is one whose every sample says so.
std::unique_ptr<GpuProbe> open_nvml_probe(const std::string& uuid);

} // namespace mgpu::agent::gpu_health
