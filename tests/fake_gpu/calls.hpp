#pragma once
// What every function of the runtime does first and last: counting, sticky errors, the rules of capture.
#include <cuda_runtime_api.h>

#include <string>

#define FAKE_GPU_API extern "C" __attribute__((visibility("default")))

namespace fake_gpu {

void count(const std::string& what);

/// The device of this thread.
int current_device();
void set_current_device(int device);

/// Something is made on this thread's device, which gives it a context. See FAKE_GPU_FORBIDDEN.
void touch_device(const char* call);

/// The error that every call gives since the device broke; cudaSuccess: it works.
cudaError_t broken();
void break_device(cudaError_t code);

/// Keeps `code` for cudaGetLastError(), and gives it back.
cudaError_t noted(cudaError_t code);
cudaError_t take_last_error();
cudaError_t last_error();

/// Whether this thread may not make a call that could wait or allocate, as a recording goes on (cudaThreadExchangeStreamCaptureMode in
/// NVIDIA's reference). If so, the recordings of this thread are invalid from now on.
bool forbidden_by_capture();

enum class Kind { any, unsafe_in_capture };

/// One call of the runtime.
template <typename Body>
cudaError_t called(const std::string& what, Kind kind, Body body) {
  if (!what.empty()) count(what);
  if (kind == Kind::unsafe_in_capture && forbidden_by_capture()) return noted(cudaErrorStreamCaptureUnsupported);
  if (const cudaError_t code = broken(); code != cudaSuccess) return noted(code);
  return noted(body());
}

} // namespace fake_gpu
