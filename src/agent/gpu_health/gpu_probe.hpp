#pragma once
// One GPU as its driver reports it.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/wire/control_messages.hpp"

namespace mgpu::agent::gpu_health {

/// Calls may hang: for the monitor's thread only.
class GpuProbe {
 public:
  virtual ~GpuProbe() = default;
  /// The values that could be read; the others are unknown. `lost`: the driver's message when the GPU cannot be used any more.
  virtual wire::GpuSample sample(std::string& lost) = 0;
  /// Xid errors since the last call, in order. Does not wait.
  virtual std::vector<std::uint32_t> take_xids() = 0;
};

/// A GPU by UUID through NVML. nullptr without NVML or permission, and for a MIG slice that NVML does not know. If the GPU is lost already, every
/// sample says so.
std::unique_ptr<GpuProbe> open_nvml_probe(const std::string& uuid);

} // namespace mgpu::agent::gpu_health
