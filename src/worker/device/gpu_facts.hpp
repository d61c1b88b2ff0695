#pragma once
#include <cstdint>
#include <utility>

namespace mgpu::worker {

/// Compute capability (major, minor) of a CUDA device by its index; throws Error in a build without CUDA.
std::pair<int, int> compute_capability(int device_index);

/// Number of out-of-memory errors of LibTorch's allocator for that device in this process; 0 in a build without CUDA.
std::int64_t times_out_of_memory(int device_index);

} // namespace mgpu::worker
