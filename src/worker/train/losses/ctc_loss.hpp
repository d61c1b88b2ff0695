#pragma once
#include <memory>

#include "mgpu/losses.hpp"

namespace mgpu::worker::train {

/// Loss "ctc" of mgpu/losses.hpp.
std::unique_ptr<Loss> make_ctc_loss(const Config& config, const Bundle& bundle);

} // namespace mgpu::worker::train
