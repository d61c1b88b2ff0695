#pragma once
#include <cstdint>
#include <vector>

namespace mgpu::agent::comm {

/// The cores that one rank of a node may use.
struct CoreClaim {
  std::vector<std::int32_t> allowed; ///< its affinity mask; hyperthreads of one core are adjacent
  std::vector<std::int32_t> near;    ///< cores of its GPU's socket; empty: unknown
};

struct CoreShare {
  std::vector<std::int32_t> cores;
  int count = 1; ///< number of cores to plan for
};

/// Divides the cores of a node among its ranks. Ranks with the same mask share it evenly, each first taking cores near its GPU. A
/// mask that only one rank has was already divided by the launcher (srun) and is kept. With fewer cores than ranks, every rank
/// may use all of them: the scheduler then balances them better than fixed shares would.
std::vector<CoreShare> share_cores(const std::vector<CoreClaim>& ranks);

} // namespace mgpu::agent::comm
