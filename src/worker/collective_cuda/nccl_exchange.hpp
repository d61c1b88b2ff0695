#pragma once
// The exchange of ranks with a GPU each, over NCCL. Everything lies in flat float32 arrays on the device; sums run on a stream of
// their own, ordered by events, while backward goes on. step() waits once for the device: facts and norm are decided on the host.
//
// Seen on one GPU, with 1 rank and with 2 (tests/gpu); not on several GPUs.
#include <memory>
#include <string>
#include <vector>

#include "worker/collective/exchange.hpp"

namespace mgpu::worker::collective {

struct NcclSpec {
  std::string id; ///< new_nccl_id() of rank 0
  int rank = 0, size = 1;
  std::vector<std::string> hosts; ///< [size], for messages; may be empty
  int device = 0;                 ///< CUDA index
  double timeout_s = 300;         ///< of joining and of every collective
  bool shard = false;    ///< each rank keeps the optimizer's state for its part only; buckets must be multiples of `size`
  bool compress = false; ///< gradients travel as bfloat16
};

/// Bytes by which the ranks find each other. Throws Error.
std::string new_nccl_id();

/// Throws Error when not all ranks come within spec.timeout_s, or two of them have one GPU, which NCCL cannot join.
std::unique_ptr<Exchange> open_nccl_exchange(const NcclSpec& spec, FlatLayout layout, int states);

} // namespace mgpu::worker::collective
