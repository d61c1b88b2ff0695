#pragma once
// The exchange of ranks with one GPU each, over NCCL. All data are in flat float32 arrays on the device; sums run on a separate
// stream, ordered by events, during backward. step() waits once for the device: facts and norm are evaluated on the host.
//
// Tested on one GPU, with 1 rank and with 2 (tests/gpu); not on several GPUs.
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
  double timeout_s = 300;         ///< time limit of joining and of every collective
  bool shard = false;             ///< each rank has the optimizer's state of its part only; buckets must be multiples of `size`
  bool compress = false;          ///< gradients are sent as bfloat16
};

/// The id by which ranks connect. Throws Error.
std::string new_nccl_id();

/// Throws Error when a rank does not join within spec.timeout_s, or two ranks use one GPU, which NCCL does not support.
std::unique_ptr<Exchange> open_nccl_exchange(const NcclSpec& spec, FlatLayout layout, int states);

} // namespace mgpu::worker::collective
