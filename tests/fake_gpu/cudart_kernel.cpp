// Kernels: their launches are queued and counted, and do nothing.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "calls.hpp"
#include "settings.hpp"
#include "stream.hpp"

using namespace fake_gpu;

namespace {

/// FAKE_GPU_FAIL_AT, and FAKE_GPU_FAIL_ONCE.
void break_when_asked() {
  static std::atomic<long> launched{0};
  if (++launched != settings().fail_at || !settings().can_fail) return;
  if (!settings().fail_once.empty()) {
    const int file = open(settings().fail_once.c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return;
    close(file);
  }
  break_device(static_cast<cudaError_t>(settings().fail_code));
}

cudaError_t launch(cudaStream_t stream) {
  return called("kernel", Kind::any, [&] {
    break_when_asked();
    Stream::of(stream).add([] {});
    return broken();
  });
}

/// What <<<…>>> hands to the launch that follows.
struct Configuration {
  dim3 grid, block;
  std::size_t shared = 0;
  cudaStream_t stream = nullptr;
};
thread_local Configuration pushed;

} // namespace

FAKE_GPU_API cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, cudaStream_t stream) {
  return launch(stream);
}

FAKE_GPU_API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* configuration, const void*, void**) {
  return launch(configuration->stream);
}

FAKE_GPU_API cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

FAKE_GPU_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}

FAKE_GPU_API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *static_cast<cudaStream_t*>(stream) = pushed.stream;
  return cudaSuccess;
}

FAKE_GPU_API void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}

FAKE_GPU_API void __cudaRegisterFatBinaryEnd(void**) {}
FAKE_GPU_API void __cudaUnregisterFatBinary(void**) {}
FAKE_GPU_API void __cudaRegisterFunction(void**, const char*, char*, const char*, int, void*, void*, void*, void*, int*) {}
FAKE_GPU_API void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}

FAKE_GPU_API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  std::memset(attributes, 0, sizeof *attributes);
  attributes->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t,
                                                                                unsigned) {
  *blocks = 4;
  return cudaSuccess;
}
