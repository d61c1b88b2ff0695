// libnvidia-ml.so.1: devices as the environment and the file named by FAKE_GPU_NVML_FILE say. A test may rewrite the file while a run goes on.
// FAKE_GPU_NVML: the code of every call about a device, for the rank FAKE_GPU_FAIL_RANK. 0: it is well; 6: Not Found, as for a MIG instance;
// 15: GPU is lost; 16: reset required.
// A line of the file: `DEVICE KEY VALUE`, DEVICE the number at the end of a UUID (1 is the first GPU's) or *. Later lines count. Keys: temperature,
// slowdown, utilization, power_mw, clock, throttle, ecc, remap_pending, remap_failed, used, total (bytes), code (of every call about the device),
// hang (1: no call comes back while it stands there), xid (each line is one event).
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "settings.hpp"

#define FAKE_GPU_API extern "C" __attribute__((visibility("default")))

namespace {

using fake_gpu::settings;

constexpr int ok = 0, not_supported = 3, not_found = 6, timed_out = 10;
constexpr unsigned long long xid_event = 8;

/// A device of the host: what a handle points to.
struct Device {
  int number = 1;
};
Device* device_of(int number) {
  static std::mutex mutex;
  static std::map<int, Device> devices;
  const std::lock_guard lock(mutex);
  Device& device = devices[number];
  device.number = number;
  return &device;
}

struct Told {
  std::map<std::string, std::string> values;
  std::vector<unsigned long long> xids;
};

Told read_file(int number) {
  Told told;
  const char* path = std::getenv("FAKE_GPU_NVML_FILE");
  if (path == nullptr) return told;
  std::ifstream file(path);
  for (std::string device, key, value; file >> device >> key >> value;) {
    if (device != "*" && device != std::to_string(number)) continue;
    if (key == "xid")
      told.xids.push_back(std::stoull(value));
    else
      told.values[key] = value;
  }
  return told;
}

/// Waits while the file says so.
Told ask(int number) {
  for (;;) {
    Told told = read_file(number);
    if (told.values["hang"] != "1") return told;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

int code_of(Told& told) {
  if (const std::string& code = told.values["code"]; !code.empty()) return std::stoi(code);
  return settings().can_fail ? settings().nvml_code : ok;
}

template <typename Number>
int answer(void* device, const char* key, Number* value) {
  Told told = ask(static_cast<Device*>(device)->number);
  if (const int code = code_of(told); code != ok) return code;
  if (told.values[key].empty()) return not_supported;
  *value = static_cast<Number>(std::stoull(told.values[key]));
  return ok;
}

struct Events {
  int number = 0;
  std::size_t given = 0; ///< lines
};

} // namespace

FAKE_GPU_API int nvmlInit_v2() {
  ask(0);
  return ok;
}

FAKE_GPU_API int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = static_cast<unsigned>(settings().devices);
  return ok;
}

FAKE_GPU_API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index >= static_cast<unsigned>(settings().devices)) return not_found;
  *device = device_of(settings().first_device + static_cast<int>(index) + 1);
  return ok;
}

FAKE_GPU_API int nvmlDeviceGetUUID(void* device, char* uuid, unsigned length) {
  std::snprintf(uuid, length, "GPU-00000000-0000-0000-0000-%012x", static_cast<Device*>(device)->number);
  return ok;
}

FAKE_GPU_API int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  const char* last = std::strrchr(uuid, '-');
  *device = device_of(last == nullptr ? 1 : static_cast<int>(std::strtol(last + 1, nullptr, 16)));
  Told told = ask(static_cast<Device*>(*device)->number);
  return code_of(told);
}

FAKE_GPU_API int nvmlDeviceGetMemoryInfo(void* device, void* memory) {
  auto* bytes = static_cast<unsigned long long*>(memory); // total, free, used
  Told told = ask(static_cast<Device*>(device)->number);
  if (const int code = code_of(told); code != ok) return code;
  const auto number = [&](const char* key, unsigned long long otherwise) {
    return told.values[key].empty() ? otherwise : std::stoull(told.values[key]);
  };
  bytes[0] = number("total", settings().memory_bytes);
  bytes[2] = number("used", 0);
  bytes[1] = bytes[0] - bytes[2];
  return ok;
}

FAKE_GPU_API int nvmlDeviceGetTemperature(void* device, int, unsigned* value) {
  return answer(device, "temperature", value);
}

FAKE_GPU_API int nvmlDeviceGetTemperatureThreshold(void* device, int which, unsigned* value) {
  return which == 1 ? answer(device, "slowdown", value) : not_supported;
}

FAKE_GPU_API int nvmlDeviceGetUtilizationRates(void* device, unsigned* value) {
  value[1] = 0;
  return answer(device, "utilization", value);
}

FAKE_GPU_API int nvmlDeviceGetPowerUsage(void* device, unsigned* value) {
  return answer(device, "power_mw", value);
}

FAKE_GPU_API int nvmlDeviceGetClockInfo(void* device, int, unsigned* value) {
  return answer(device, "clock", value);
}

FAKE_GPU_API int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* value) {
  return answer(device, "throttle", value);
}

FAKE_GPU_API int nvmlDeviceGetTotalEccErrors(void* device, int, int, unsigned long long* value) {
  return answer(device, "ecc", value);
}

FAKE_GPU_API int nvmlDeviceGetRemappedRows(void* device, unsigned* corrected, unsigned* uncorrected, unsigned* pending,
                                           unsigned* failed) {
  *corrected = *uncorrected = *failed = 0;
  answer(device, "remap_failed", failed);
  return answer(device, "remap_pending", pending);
}

FAKE_GPU_API int nvmlEventSetCreate(void** set) {
  *set = new Events; // as long as the process
  return ok;
}

FAKE_GPU_API int nvmlDeviceRegisterEvents(void* device, unsigned long long types, void* set) {
  static_cast<Events*>(set)->number = static_cast<Device*>(device)->number;
  return types == xid_event ? ok : not_supported;
}

FAKE_GPU_API int nvmlEventSetWait_v2(void* set, void* data, unsigned) {
  auto* events = static_cast<Events*>(set);
  const Told told = ask(events->number);
  if (events->given >= told.xids.size()) return timed_out;
  auto* words = static_cast<unsigned long long*>(data); // device, type, data
  words[1] = xid_event;
  words[2] = told.xids[events->given++];
  return ok;
}

// LibTorch asks these when memory runs out, to say which processes hold how much.
FAKE_GPU_API int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
  *device = device_of(1);
  return ok;
}

FAKE_GPU_API int nvmlDeviceGetComputeRunningProcesses(void*, unsigned* count, void*) {
  *count = 0;
  return ok;
}

FAKE_GPU_API const char* nvmlErrorString(int result) {
  switch (result) {
    case ok:
      return "Success";
    case not_found:
      return "Not Found";
    case 15:
      return "GPU is lost";
    case 16:
      return "GPU requires reset";
    default:
      return "Unknown Error";
  }
}
