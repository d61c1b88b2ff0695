#pragma once
#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::train {

/// Replaces floating-point buffers (running statistics) by their mean over the ranks, because each rank's come from its own
/// samples. All ranks call it together.
void average_buffers(Training& training, collective::Exchange& exchange);

} // namespace mgpu::worker::train
