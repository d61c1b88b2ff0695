#include "calls.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "fake_gpu.h"
#include "memory.hpp"
#include "settings.hpp"
#include "stream.hpp"

namespace fake_gpu {

namespace {

std::atomic<int> sticky{0};
thread_local cudaError_t last = cudaSuccess;
thread_local int device = 0;
constexpr int most_devices = 64;
std::array<std::atomic<bool>, most_devices> has_context{};

/// One kind of call; tests/e2e/test_fake_gpu.py reads a file of these.
struct Count {
  char name[56];
  std::int64_t times;
};
constexpr std::size_t most_counts = 64;

/// In memory, or in a file that outlives the process: the programs end by _exit, where nothing could be written.
Count* make_counts() {
  int file = -1;
  if (!settings().counts_folder.empty()) {
    file = open((settings().counts_folder + "/" + std::to_string(getpid())).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(Count) * most_counts) != 0) std::abort();
  }
  void* memory =
      mmap(nullptr, sizeof(Count) * most_counts, PROT_READ | PROT_WRITE, MAP_SHARED | (file < 0 ? MAP_ANONYMOUS : 0), file, 0);
  if (memory == MAP_FAILED) std::abort();
  if (file >= 0) close(file);
  return static_cast<Count*>(memory);
}

struct Counts {
  std::mutex mutex;
  Count* all = make_counts();
  std::map<std::string, Count*> by_name;

  Count& of(const std::string& what) {
    Count*& found = by_name[what];
    if (found == nullptr) {
      if (by_name.size() > most_counts) std::abort();
      found = &all[by_name.size() - 1];
      std::strncpy(found->name, what.c_str(), sizeof found->name - 1);
    }
    return *found;
  }
};
Counts& counts() {
  static auto* never_destroyed = new Counts; // the threads of streams live on while the process ends
  return *never_destroyed;
}

} // namespace

void count(const std::string& what) {
  const std::lock_guard lock(counts().mutex);
  ++counts().of(what).times;
}

int current_device() {
  return device;
}

void set_current_device(int number) {
  device = number;
}

void touch_device(const char* call) {
  if (device >= 0 && device < most_devices) has_context[static_cast<std::size_t>(device)] = true;
  if (device == settings().forbidden_device) std::fprintf(stderr, "fake GPU: device %d was used, by %s\n", device, call);
}

cudaError_t broken() {
  return static_cast<cudaError_t>(sticky.load());
}

void break_device(cudaError_t code) {
  sticky = code;
}

cudaError_t noted(cudaError_t code) {
  if (code != cudaSuccess) last = code;
  return code;
}

cudaError_t last_error() {
  return broken() != cudaSuccess ? broken() : last;
}

cudaError_t take_last_error() {
  const cudaError_t code = last_error();
  last = cudaSuccess;
  return code;
}

bool forbidden_by_capture() {
  return Capture::forbids_here();
}

} // namespace fake_gpu

FAKE_GPU_API long fake_gpu_count(const char* what) {
  const std::lock_guard lock(fake_gpu::counts().mutex);
  return fake_gpu::counts().of(what).times;
}

FAKE_GPU_API void fake_gpu_reset() {
  const std::lock_guard lock(fake_gpu::counts().mutex);
  for (const auto& [name, count] : fake_gpu::counts().by_name) count->times = 0;
}

FAKE_GPU_API void fake_gpu_fail(int code) {
  fake_gpu::break_device(static_cast<cudaError_t>(code));
}

/// For the fake driver.
FAKE_GPU_API int fake_gpu_has_context(int device) {
  return device >= 0 && device < fake_gpu::most_devices && fake_gpu::has_context[static_cast<std::size_t>(device)] ? 1 : 0;
}

/// For the fake NCCL, which is a library of its own.
FAKE_GPU_API void fake_gpu_enqueue(cudaStream_t stream, void (*function)(void*), void* argument) {
  fake_gpu::Stream::of(stream).add([function, argument] { function(argument); });
}

FAKE_GPU_API void* fake_gpu_host_view(const void* pointer) {
  return fake_gpu::host_view(pointer);
}
