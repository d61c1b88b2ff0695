#pragma once
// NVIDIA's management library, loaded on first use and never linked. Its calls may hang with the driver: never call them on an event loop
// (use gpu_monitor.hpp or within_limit() below).
#include <functional>
#include <string>

namespace mgpu::agent::gpu_health {

/// The functions that are used (NVML API reference); nullptr if the installed library lacks one. All return an nvmlReturn_t. Structures and
/// constants are those of nvml.h, which is not needed to build.
struct Nvml {
  using Device = void*;
  using EventSet = void*;

  // nvmlReturn_t
  static constexpr int success = 0, gpu_is_lost = 15, reset_required = 16;
  // nvmlTemperatureSensors_t, nvmlTemperatureThresholds_t, nvmlClockType_t, nvmlMemoryErrorType_t, nvmlEccCounterType_t
  static constexpr int sensor_gpu = 0, threshold_slowdown = 1, clock_sm = 1, uncorrected = 1, since_driver_load = 0;
  static constexpr unsigned long long event_xid = 8; ///< nvmlEventTypeXidCriticalError

  struct Memory { ///< nvmlMemory_t: `used` includes what the driver keeps for itself
    unsigned long long total = 0, free = 0, used = 0;
  };
  struct Memory2 { ///< nvmlMemory_v2_t
    unsigned version = static_cast<unsigned>(sizeof(Memory2)) | 2u << 24;
    unsigned long long total = 0, reserved = 0, free = 0, used = 0;
  };
  struct Utilization { ///< nvmlUtilization_t, percent
    unsigned gpu = 0, memory = 0;
  };
  struct Event { ///< nvmlEventData_t
    Device device = nullptr;
    unsigned long long type = 0, data = 0; ///< of an Xid: its number
    unsigned gpu_instance = 0, compute_instance = 0;
  };

  int (*init)() = nullptr;
  const char* (*error)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, Device*) = nullptr;
  int (*by_uuid)(const char*, Device*) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*memory2)(Device, Memory2*) = nullptr;
  int (*temperature)(Device, int sensor, unsigned*) = nullptr;
  int (*threshold)(Device, int which, unsigned*) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*power)(Device, unsigned* milliwatts) = nullptr;
  int (*clock)(Device, int which, unsigned* mhz) = nullptr;
  int (*throttle)(Device, unsigned long long* reasons) = nullptr;
  int (*ecc)(Device, int type, int counter, unsigned long long*) = nullptr;
  int (*remapped)(Device, unsigned* corrected, unsigned* uncorrected, unsigned* pending, unsigned* failed) = nullptr;
  int (*event_set)(EventSet*) = nullptr;
  int (*watch_events)(Device, unsigned long long types, EventSet) = nullptr;
  int (*next_event)(EventSet, Event*, unsigned timeout_ms) = nullptr;

  /// Has the functions that every use needs.
  bool usable() const { return init != nullptr && by_uuid != nullptr && memory != nullptr && error != nullptr; }
  /// The device cannot be used any more, or not before its next reset.
  static bool is_lost(int code) { return code == gpu_is_lost || code == reset_required; }
};

/// The library of this host; not usable() if there is none.
const Nvml& nvml();

/// The device's total and used memory, the latter without the driver's own part if the driver reports that. Returns an nvmlReturn_t.
int read_memory(Nvml::Device device, Nvml::Memory& memory);

/// Runs `work`, which calls NVML, on a thread of its own. False if it has not returned after `limit_s`: the thread is then abandoned, with everything
/// that `work` holds.
bool within_limit(double limit_s, std::function<void()> work);

/// Exists as long as a thread may be in NVML; counted by nvml_is_in_use().
class NvmlThread {
 public:
  NvmlThread();
  ~NvmlThread();
  NvmlThread(const NvmlThread&) = delete;
  NvmlThread& operator=(const NvmlThread&) = delete;
};
/// Whether any thread may be in NVML. The process must then end by _exit, because a normal end destroys NVML's objects under the thread.
bool nvml_is_in_use();

/// Why NVML says that a GPU cannot be used; "" if it can, if there is no answer in time, or without NVML. Takes at most `limit_s`.
std::string probe_device(const std::string& uuid, double limit_s = 5);

} // namespace mgpu::agent::gpu_health
