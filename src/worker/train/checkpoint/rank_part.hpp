#pragma once
// A rank's part of a checkpoint, from and to what the rank works with.
#include <cstddef>
#include <string>
#include <vector>

#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"
#include "worker/train/checkpoint/checkpoint.hpp"

namespace mgpu::worker::train {

/// Copies this rank's shard (parameters and `states` optimizer states of `elements` in all) and the tensors outside it (buffers, parameters
/// that are not trained now). Step and state are the caller's to fill in.
Part collect_part(const RankContext& context, collective::Exchange& exchange, std::size_t elements, int states,
                  const std::vector<NamedTensor>& unsharded);

/// The reverse: into the shard and into `unsharded`. Throws usage_error naming `folder` where the checkpoint does not fit.
void put_back(const Restored& restored, const std::string& folder, collective::Exchange& exchange, int states,
              const std::vector<NamedTensor>& unsharded);

} // namespace mgpu::worker::train
