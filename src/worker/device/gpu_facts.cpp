#include "worker/device/gpu_facts.hpp"

#ifdef MGPU_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDACachingAllocator.h>
#endif

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker {

std::pair<int, int> compute_capability([[maybe_unused]] int device_index) {
#ifdef MGPU_HAS_CUDA
  const cudaDeviceProp* facts = at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(device_index));
  return {facts->major, facts->minor};
#else
  throw Error("this build has no CUDA");
#endif
}

std::int64_t times_out_of_memory([[maybe_unused]] int device_index) {
#ifdef MGPU_HAS_CUDA
  return c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device_index)).num_ooms;
#else
  return 0;
#endif
}

} // namespace mgpu::worker
