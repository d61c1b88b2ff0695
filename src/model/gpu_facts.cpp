#include "model/gpu_facts.hpp"

#ifdef MGPU_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

#include "mgpu/error.hpp"

namespace mgpu {

std::pair<int, int> compute_capability([[maybe_unused]] int device_index) {
#ifdef MGPU_HAS_CUDA
  const cudaDeviceProp* facts = at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(device_index));
  return {facts->major, facts->minor};
#else
  throw Error("this build has no CUDA");
#endif
}

} // namespace mgpu
