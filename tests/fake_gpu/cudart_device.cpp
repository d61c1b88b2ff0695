// Devices, errors, versions.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "calls.hpp"
#include "settings.hpp"
#include "stream.hpp"

using namespace fake_gpu;

namespace {

/// Of NVIDIA's list; the texts are those of a real runtime, as programs read them.
struct Text {
  cudaError_t code;
  const char *name, *text;
};
constexpr Text texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"}};

const Text& text_of(cudaError_t code) {
  static constexpr Text unknown{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
  for (const Text& each : texts)
    if (each.code == code) return each;
  return unknown;
}

} // namespace

FAKE_GPU_API cudaError_t cudaGetDeviceCount(int* count) {
  *count = settings().devices;
  return noted(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

FAKE_GPU_API cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= settings().devices) return noted(cudaErrorInvalidDevice);
  count("device " + std::to_string(device));
  set_current_device(device);
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaGetLastError() {
  return take_last_error();
}

FAKE_GPU_API cudaError_t cudaPeekAtLastError() {
  return last_error();
}

FAKE_GPU_API const char* cudaGetErrorString(cudaError_t code) {
  return text_of(code).text;
}

FAKE_GPU_API const char* cudaGetErrorName(cudaError_t code) {
  return text_of(code).name;
}

/// An H100 where it matters to LibTorch: compute capability 9.0.
FAKE_GPU_API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= settings().devices) return noted(cudaErrorInvalidDevice);
  std::memset(properties, 0, sizeof *properties);
  const int number = settings().first_device + device;
  std::snprintf(properties->name, sizeof properties->name, "Fake GPU");
  properties->uuid.bytes[15] = static_cast<char>(number + 1);
  properties->totalGlobalMem = settings().memory_bytes;
  properties->major = 9;
  properties->multiProcessorCount = 8;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 2147483647;
  properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
  properties->sharedMemPerBlock = 49152;
  properties->sharedMemPerMultiprocessor = 233472;
  properties->pciBusID = number + 1;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 0;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}

/// Whatever the fake driver does not have answers "operation not supported", too.
FAKE_GPU_API cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                                          cudaDriverEntryPointQueryResult* result) {
  static void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  constexpr int (*not_supported)() = [] { return 801; };
  *function = driver == nullptr ? nullptr : dlsym(driver, symbol);
  if (*function == nullptr) *function = reinterpret_cast<void*>(not_supported);
  if (result != nullptr) *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaDeviceSynchronize() {
  return called("device synchronize", Kind::unsafe_in_capture, [] {
    for (Stream* each : Stream::all()) each->synchronize();
    return broken();
  });
}
