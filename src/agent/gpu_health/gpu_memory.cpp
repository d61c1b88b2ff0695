#include "agent/gpu_health/gpu_memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <system_error>

#include "agent/gpu_health/nvml.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::gpu_health {

struct GpuMemoryLook::State {
  double began_s = now_s();
  std::mutex mutex;
  std::vector<wire::GpuMemory> found; ///< guarded by mutex, as is note
  std::string note;

  void ask() {
    std::string trouble = look();
    const std::lock_guard lock(mutex);
    note = std::move(trouble);
  }

 private:
  /// "", or why not every GPU has answered.
  std::string look() {
    const Nvml& library = nvml();
    if (!library.usable() || library.count == nullptr || library.by_index == nullptr || library.uuid == nullptr)
      return "there is no NVML";
    unsigned devices = 0;
    if (const int code = library.init(); code != Nvml::success) return fmt::format("nvmlInit: {}", library.error(code));
    if (const int code = library.count(&devices); code != Nvml::success)
      return fmt::format("nvmlDeviceGetCount: {}", library.error(code));
    for (unsigned index = 0; index < devices; ++index) {
      Nvml::Device device = nullptr;
      std::array<char, 96> uuid{}; // NVML_DEVICE_UUID_V2_BUFFER_SIZE
      Nvml::Memory memory;
      int code = library.by_index(index, &device);
      if (code == Nvml::success) code = library.uuid(device, uuid.data(), static_cast<unsigned>(uuid.size()));
      if (code == Nvml::success) code = read_memory(device, memory);
      if (code != Nvml::success) continue; // one that is lost says nothing of the others
      const std::lock_guard lock(mutex);
      found.push_back({uuid.data(), memory.used, memory.total});
    }
    return "";
  }
};

GpuMemoryLook::GpuMemoryLook(bool wanted) {
  if (!wanted) return;
  state_ = std::make_shared<State>();
  try {
    thread_ = std::make_unique<SideThread>([state = state_, counted = std::make_shared<NvmlThread>()] { state->ask(); });
  } catch (const std::system_error&) {
    state_->note = "no thread can be started";
  }
}

std::vector<wire::GpuMemory> GpuMemoryLook::finish(std::string& note, double limit_s) const {
  if (state_ == nullptr) return {};
  const double left_s = std::max(state_->began_s + limit_s - now_s(), 0.0);
  const bool done = thread_ == nullptr || thread_->done(std::chrono::milliseconds(static_cast<long>(1e3 * left_s)));
  const std::lock_guard lock(state_->mutex);
  note = done ? state_->note : fmt::format("NVML did not answer within {:g} s", limit_s);
  return state_->found;
}

bool may_limit_memory(const std::vector<std::string>& arguments) {
  constexpr std::array<std::string_view, 3> names{"--max-gpu-memory", "--max_gpu_memory", "--config"};
  if (std::getenv("MGPU_MAX_GPU_MEMORY") != nullptr || std::getenv("MGPU_CONFIG") != nullptr) return true;
  return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
    return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return argument.starts_with(name); });
  });
}

} // namespace mgpu::agent::gpu_health
