#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>

namespace fake_gpu {

/// Memory of a device: its addresses cannot be read or written by the host, as on a GPU; host_view() gives the same bytes where they can.
/// nullptr where the device has no room.
void* allocate_device(int device, std::size_t bytes);
/// False for what is no beginning of an allocation.
bool free_device(void* pointer);
/// Free and total bytes.
void memory_of(int device, std::size_t& free, std::size_t& total);

/// Pinned host memory.
void* allocate_host(std::size_t bytes);
void register_host(void* pointer, std::size_t bytes);
/// `owned`: it was allocated here and is freed.
bool forget_host(void* pointer, bool owned);

struct Place {
  cudaMemoryType type = cudaMemoryTypeUnregistered;
  int device = 0;
};
Place place_of(const void* pointer);
/// Where the host may touch what `pointer` names; `pointer` itself when it is not a device's.
char* host_view(const void* pointer);

} // namespace fake_gpu
