#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "calls.hpp"
#include "settings.hpp"

namespace fake_gpu {

namespace {

constexpr std::size_t page = 4096;

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + page - 1) / page * page;
}

struct DeviceBlock {
  std::size_t bytes;
  char* view;
  int device;
};

struct Memory {
  std::mutex mutex;
  std::map<const char*, DeviceBlock> device; ///< by their beginnings
  std::map<const char*, std::size_t> host;
  std::map<int, std::size_t> used;
};

Memory& memory() {
  static auto* never_destroyed = new Memory;
  return *never_destroyed;
}

/// The block that holds `pointer`; end() for none.
template <typename Map, typename Size>
auto block_of(Map& blocks, const void* pointer, Size size) {
  auto at = blocks.upper_bound(static_cast<const char*>(pointer));
  if (at == blocks.begin()) return blocks.end();
  --at;
  return static_cast<const char*>(pointer) < at->first + size(at->second) ? at : blocks.end();
}

auto device_block(const void* pointer) {
  return block_of(memory().device, pointer, [](const DeviceBlock& block) { return block.bytes; });
}

} // namespace

void* allocate_device(int device, std::size_t bytes) {
  const std::lock_guard lock(memory().mutex);
  std::size_t& used = memory().used[device];
  if (bytes > settings().memory_bytes || used + bytes > settings().memory_bytes) return nullptr;
  const int file = memfd_create("fake_gpu", MFD_CLOEXEC);
  const std::size_t mapped = whole_pages(bytes);
  if (file < 0 || ftruncate(file, static_cast<off_t>(mapped)) != 0) std::abort();
  void* view = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  void* address = mmap(nullptr, mapped, PROT_NONE, MAP_SHARED, file, 0);
  close(file);
  if (view == MAP_FAILED || address == MAP_FAILED) std::abort();
  memory().device[static_cast<const char*>(address)] = {bytes, static_cast<char*>(view), device};
  used += bytes;
  return address;
}

bool free_device(void* pointer) {
  const std::lock_guard lock(memory().mutex);
  const auto at = memory().device.find(static_cast<const char*>(pointer));
  if (at == memory().device.end()) return false;
  memory().used[at->second.device] -= at->second.bytes;
  munmap(at->second.view, whole_pages(at->second.bytes));
  munmap(pointer, whole_pages(at->second.bytes));
  memory().device.erase(at);
  return true;
}

void memory_of(int device, std::size_t& free, std::size_t& total) {
  const std::lock_guard lock(memory().mutex);
  total = settings().memory_bytes;
  free = total - memory().used[device];
}

void* allocate_host(std::size_t bytes) {
  void* pointer = std::aligned_alloc(page, whole_pages(bytes));
  if (pointer != nullptr) register_host(pointer, bytes);
  return pointer;
}

void register_host(void* pointer, std::size_t bytes) {
  const std::lock_guard lock(memory().mutex);
  memory().host[static_cast<const char*>(pointer)] = bytes;
}

bool forget_host(void* pointer, bool owned) {
  {
    const std::lock_guard lock(memory().mutex);
    if (memory().host.erase(static_cast<const char*>(pointer)) == 0) return false;
  }
  if (owned) std::free(pointer);
  return true;
}

Place place_of(const void* pointer) {
  const std::lock_guard lock(memory().mutex);
  if (const auto at = device_block(pointer); at != memory().device.end()) return {cudaMemoryTypeDevice, at->second.device};
  const auto at = block_of(memory().host, pointer, [](std::size_t bytes) { return bytes; });
  return {at != memory().host.end() ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered, 0};
}

char* host_view(const void* pointer) {
  const std::lock_guard lock(memory().mutex);
  const auto at = device_block(pointer);
  auto* address = static_cast<char*>(const_cast<void*>(pointer));
  return at == memory().device.end() ? address : at->second.view + (address - at->first);
}

} // namespace fake_gpu
