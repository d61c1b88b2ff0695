#pragma once
#include <cstdint>
#include <vector>

namespace mgpu::agent::comm {

/// Where one rank of a node may run.
struct CoreClaim {
  std::vector<std::int32_t> allowed; ///< its launcher's mask; hyperthreads of one core stand beside each other
  std::vector<std::int32_t> near;    ///< those of its GPU's socket; empty: unknown
};

struct CoreShare {
  std::vector<std::int32_t> cores;
  int count = 1; ///< how many it may count as its own
};

/// Divides the cores of a node among its ranks. Ranks with the same mask share it evenly, each first taking what is near its GPU; a mask that no
/// other rank has was divided by the launcher already (srun) and is left alone. With fewer cores than ranks all may use all of them: nobody
/// is shut into a core that it must share with a known other.
std::vector<CoreShare> share_cores(const std::vector<CoreClaim>& ranks);

} // namespace mgpu::agent::comm
