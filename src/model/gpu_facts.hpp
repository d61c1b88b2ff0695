#pragma once
#include <utility>

namespace mgpu {

/// Compute capability (major, minor) of a CUDA device by its index; throws Error in a build without CUDA.
std::pair<int, int> compute_capability(int device_index);

} // namespace mgpu
