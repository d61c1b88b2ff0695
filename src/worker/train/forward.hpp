#pragma once
#include "mgpu/training.hpp"

namespace mgpu::worker::train {

/// The loss of these rows with its graph, under autocast if context.dtype requires it.
torch::Tensor forward_loss(Training& training, const Batch& rows, const RankContext& context);

} // namespace mgpu::worker::train
