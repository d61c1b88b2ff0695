#pragma once
// Conversion between a rank's objects and its part of a checkpoint.
#include <cstddef>
#include <string>
#include <vector>

#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"
#include "worker/train/checkpoint/checkpoint.hpp"

namespace mgpu::worker::train {

/// Copies this rank's shard (parameters and `states` optimizer states; `elements`: size of the whole buffer) and the tensors
/// outside it (buffers, untrained parameters). The caller sets step and state.
Part collect_part(const RankContext& context, collective::Exchange& exchange, std::size_t elements, int states,
                  const std::vector<NamedTensor>& unsharded);

/// The reverse: writes the shard and `unsharded`. Throws usage_error naming `folder` if the checkpoint does not fit.
void put_back(const Restored& restored, const std::string& folder, collective::Exchange& exchange, int states,
              const std::vector<NamedTensor>& unsharded);

} // namespace mgpu::worker::train
