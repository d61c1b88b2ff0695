// Memory and copies.
#include <cstring>
#include <string>

#include "calls.hpp"
#include "memory.hpp"
#include "stream.hpp"

using namespace fake_gpu;

namespace {

/// From or to memory that is not pinned the call itself waits, or keeps what it read; from pinned memory the stream reads when its turn comes.
cudaError_t copy(void* to, const void* from, std::size_t bytes, Stream& stream) {
  const Place source = place_of(from), target = place_of(to);
  char* const writes = host_view(to);
  if (source.type == cudaMemoryTypeUnregistered && target.type == cudaMemoryTypeDevice) {
    count("pageable copy");
    stream.add(
        [writes, kept = std::string(static_cast<const char*>(from), bytes)] { std::memcpy(writes, kept.data(), kept.size()); });
    return broken();
  }
  stream.add([writes, reads = host_view(from), bytes] { std::memmove(writes, reads, bytes); });
  if (target.type == cudaMemoryTypeUnregistered) {
    count("pageable copy");
    if (stream.capture() != nullptr) return cudaErrorStreamCaptureUnsupported;
    stream.synchronize();
  }
  return broken();
}

} // namespace

FAKE_GPU_API cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return called("malloc", Kind::unsafe_in_capture, [&] {
    touch_device("malloc");
    *pointer = allocate_device(current_device(), bytes);
    return *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

/// Waits for the whole device, as the real one does.
FAKE_GPU_API cudaError_t cudaFree(void* pointer) {
  return called("free", Kind::unsafe_in_capture, [&] {
    if (pointer == nullptr) return cudaSuccess;
    for (Stream* each : Stream::all()) each->synchronize();
    return free_device(pointer) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

FAKE_GPU_API cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  memory_of(current_device(), *free, *total);
  return noted(broken());
}

FAKE_GPU_API cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return called("host alloc", Kind::unsafe_in_capture, [&] {
    touch_device("host alloc");
    *pointer = allocate_host(bytes);
    return *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaFreeHost(void* pointer) {
  return called("host free", Kind::unsafe_in_capture,
                [&] { return forget_host(pointer, true) ? cudaSuccess : cudaErrorInvalidValue; });
}

FAKE_GPU_API cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  return called("host register", Kind::unsafe_in_capture, [&] { return register_host(pointer, bytes), cudaSuccess; });
}

FAKE_GPU_API cudaError_t cudaHostUnregister(void* pointer) {
  return called("host unregister", Kind::unsafe_in_capture,
                [&] { return forget_host(pointer, false) ? cudaSuccess : cudaErrorInvalidValue; });
}

FAKE_GPU_API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  std::memset(attributes, 0, sizeof *attributes);
  const Place place = place_of(pointer);
  attributes->type = place.type;
  attributes->device = place.device;
  if (place.type == cudaMemoryTypeDevice) attributes->devicePointer = const_cast<void*>(pointer);
  if (place.type == cudaMemoryTypeHost) attributes->devicePointer = attributes->hostPointer = const_cast<void*>(pointer);
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  return called("copy", Kind::any, [&] { return copy(to, from, bytes, Stream::of(stream)); });
}

FAKE_GPU_API cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  return called("copy", Kind::unsafe_in_capture, [&] {
    const cudaError_t code = copy(to, from, bytes, Stream::of(nullptr));
    Stream::of(nullptr).synchronize();
    return code;
  });
}

FAKE_GPU_API cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return called("set", Kind::any, [&] {
    Stream::of(stream).add([view = host_view(to), value, bytes] { std::memset(view, value, bytes); });
    return cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  const cudaError_t code = cudaMemsetAsync(to, value, bytes, nullptr);
  Stream::of(nullptr).synchronize();
  return code;
}
