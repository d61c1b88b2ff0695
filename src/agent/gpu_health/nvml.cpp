#include "agent/gpu_health/nvml.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "common/support/side_thread.hpp"

namespace mgpu::agent::gpu_health {

namespace {

std::atomic<int> threads_in_nvml{0};

template <typename Function>
void find(void* library, const char* name, Function*& function) {
  if (function == nullptr) function = reinterpret_cast<Function*>(dlsym(library, name));
}

Nvml load() {
  Nvml nvml;
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nvml;
  find(library, "nvmlInit_v2", nvml.init);
  find(library, "nvmlErrorString", nvml.error);
  find(library, "nvmlDeviceGetCount_v2", nvml.count);
  find(library, "nvmlDeviceGetHandleByIndex_v2", nvml.by_index);
  find(library, "nvmlDeviceGetHandleByUUID", nvml.by_uuid);
  find(library, "nvmlDeviceGetUUID", nvml.uuid);
  find(library, "nvmlDeviceGetMemoryInfo", nvml.memory);
  find(library, "nvmlDeviceGetMemoryInfo_v2", nvml.memory2);
  find(library, "nvmlDeviceGetTemperature", nvml.temperature);
  find(library, "nvmlDeviceGetTemperatureThreshold", nvml.threshold);
  find(library, "nvmlDeviceGetUtilizationRates", nvml.utilization);
  find(library, "nvmlDeviceGetPowerUsage", nvml.power);
  find(library, "nvmlDeviceGetClockInfo", nvml.clock);
  // One function under its new and its old name.
  find(library, "nvmlDeviceGetCurrentClocksEventReasons", nvml.throttle);
  find(library, "nvmlDeviceGetCurrentClocksThrottleReasons", nvml.throttle);
  find(library, "nvmlDeviceGetTotalEccErrors", nvml.ecc);
  find(library, "nvmlDeviceGetRemappedRows", nvml.remapped);
  find(library, "nvmlEventSetCreate", nvml.event_set);
  find(library, "nvmlDeviceRegisterEvents", nvml.watch_events);
  find(library, "nvmlEventSetWait_v2", nvml.next_event);
  return nvml;
}

std::string probe(const std::string& uuid) {
  Nvml::Device device = nullptr;
  Nvml::Memory memory;
  const std::array<std::pair<const char*, std::function<int()>>, 3> steps{
      {{"nvmlInit", [] { return nvml().init(); }},
       {"nvmlDeviceGetHandleByUUID", [&] { return nvml().by_uuid(uuid.c_str(), &device); }},
       {"nvmlDeviceGetMemoryInfo", [&] { return nvml().memory(device, &memory); }}}};
  for (const auto& [call, step] : steps) {
    const int code = step();
    // Any other code says something of the question, not of the device: a MIG slice is "not found", a container forbids NVML.
    if (Nvml::is_lost(code)) return fmt::format("{}: {}", call, nvml().error(code));
    if (code != Nvml::success) return {};
  }
  return {};
}

} // namespace

const Nvml& nvml() {
  static const Nvml library = load();
  return library;
}

int read_memory(Nvml::Device device, Nvml::Memory& memory) {
  if (Nvml::Memory2 apart; nvml().memory2 != nullptr && nvml().memory2(device, &apart) == Nvml::success) {
    memory = {apart.total, apart.free, apart.used};
    return Nvml::success;
  }
  return nvml().memory(device, &memory);
}

NvmlThread::NvmlThread() {
  ++threads_in_nvml;
}

NvmlThread::~NvmlThread() {
  --threads_in_nvml;
}

bool nvml_is_in_use() {
  return threads_in_nvml > 0;
}

bool within_limit(double limit_s, std::function<void()> work) {
  // Counted from here on: a thread that has not begun when the process ends is as bad as one that is under way.
  auto counted = std::make_shared<NvmlThread>();
  SideThread thread([work = std::move(work), counted] { work(); });
  counted.reset();
  return thread.done(std::chrono::milliseconds(static_cast<long>(1e3 * limit_s)));
}

std::string probe_device(const std::string& uuid, double limit_s) {
  if (uuid.empty() || !nvml().usable()) return {};
  const auto trouble = std::make_shared<std::string>();
  return within_limit(limit_s, [uuid, trouble] { *trouble = probe(uuid); }) ? *trouble : std::string();
}

} // namespace mgpu::agent::gpu_health
