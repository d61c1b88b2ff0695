#pragma once
#include <torch/torch.h>

namespace mgpu::worker {

/// The type a tensor is converted to before it is stored: HDF5 readers have no bfloat16.
inline torch::ScalarType stored_type(torch::ScalarType type) {
  return type == torch::kBFloat16 ? torch::kFloat32 : type;
}

} // namespace mgpu::worker
