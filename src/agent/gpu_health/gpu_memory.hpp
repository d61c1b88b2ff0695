#pragma once
// Memory of this host's GPUs that other processes use, measured before the run uses any.
#include <memory>
#include <string>
#include <vector>

#include "common/support/side_thread.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent::gpu_health {

/// Asks NVML about every GPU of the host, on a thread of its own.
class GpuMemoryLook {
 public:
  /// `wanted`: false: asks nothing.
  explicit GpuMemoryLook(bool wanted);
  /// The GPUs that answered within `limit_s` of the start; waits until then. `note`: why some are missing.
  std::vector<wire::GpuMemory> finish(std::string& note, double limit_s = 10) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::unique_ptr<SideThread> thread_;
};

/// Whether the arguments, the environment or a file named by them may set --max-gpu-memory. Ranks other than 0 do not read their options.
bool may_limit_memory(const std::vector<std::string>& arguments);

} // namespace mgpu::agent::gpu_health
