#pragma once

#include "worker/device/torch.hpp"

namespace mgpu::worker {

/// The type in which a tensor is stored: HDF5 has no bfloat16.
inline torch::ScalarType stored_type(torch::ScalarType type) {
  return type == torch::kBFloat16 ? torch::kFloat : type;
}

} // namespace mgpu::worker
