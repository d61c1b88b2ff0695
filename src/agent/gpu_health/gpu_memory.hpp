#pragma once
// Who uses the memory of this host's GPUs, before the run does.
#include <memory>
#include <string>
#include <vector>

#include "common/support/side_thread.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent::gpu_health {

/// Asks NVML about every GPU of the host, beside other work.
class GpuMemoryLook {
 public:
  /// `wanted`: else nothing is asked.
  explicit GpuMemoryLook(bool wanted);
  /// Of each GPU that answered until `limit_s` after the start; waits as long. `note` says why there is none.
  std::vector<wire::GpuMemory> finish(std::string& note, double limit_s = 10) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::unique_ptr<SideThread> thread_;
};

/// Whether the arguments, the environment or a file named by them may set --max-gpu-memory. Ranks other than 0 do not read their options.
bool may_limit_memory(const std::vector<std::string>& arguments);

} // namespace mgpu::agent::gpu_health
