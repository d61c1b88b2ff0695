#include "agent/gpu_health/gpu_probe.hpp"

#include <fmt/format.h>

#include "agent/gpu_health/nvml.hpp"

namespace mgpu::agent::gpu_health {

namespace {

constexpr double watts_per_milliwatt = 1e-3;

class NvmlProbe final : public GpuProbe {
 public:
  NvmlProbe(Nvml::Device device, std::string lost) : device_(device), lost_(std::move(lost)) {
    if (!lost_.empty() || nvml().event_set == nullptr || nvml().watch_events == nullptr || nvml().next_event == nullptr) return;
    if (nvml().event_set(&events_) != Nvml::success || nvml().watch_events(device_, Nvml::event_xid, events_) != Nvml::success)
      events_ = nullptr; // what is left of a set goes with the process
  }

  wire::GpuSample sample(std::string& lost) override {
    wire::GpuSample sample;
    if (lost_.empty()) read_memory_into(sample);
    if (lost = lost_; !lost.empty()) return sample;
    read(sample.temperature_c, nvml().temperature, Nvml::sensor_gpu);
    read(sample.slowdown_c, nvml().threshold, Nvml::threshold_slowdown);
    read(sample.sm_clock_mhz, nvml().clock, Nvml::clock_sm);
    if (read(sample.power_w, nvml().power)) sample.power_w *= watts_per_milliwatt;
    if (Nvml::Utilization use; nvml().utilization != nullptr && nvml().utilization(device_, &use) == Nvml::success)
      sample.utilization_percent = use.gpu;
    if (unsigned long long bits = 0; nvml().throttle != nullptr && nvml().throttle(device_, &bits) == Nvml::success)
      sample.throttle_reasons = static_cast<std::int64_t>(bits);
    if (unsigned long long errors = 0;
        nvml().ecc != nullptr && nvml().ecc(device_, Nvml::uncorrected, Nvml::since_driver_load, &errors) == Nvml::success)
      sample.uncorrected_ecc = static_cast<std::int64_t>(errors);
    unsigned corrected = 0, uncorrected = 0, pending = 0, failed = 0;
    if (nvml().remapped != nullptr && nvml().remapped(device_, &corrected, &uncorrected, &pending, &failed) == Nvml::success) {
      sample.remap_pending = pending != 0 ? 1 : 0;
      sample.remap_failed = failed != 0 ? 1 : 0;
    }
    return sample;
  }

  std::vector<std::uint32_t> take_xids() override {
    std::vector<std::uint32_t> xids;
    constexpr std::size_t most = 64; // an event set that never runs dry must not keep the thread
    for (Nvml::Event event; events_ != nullptr && xids.size() < most;) {
      if (nvml().next_event(events_, &event, 0) != Nvml::success) break;
      if (event.type == Nvml::event_xid) xids.push_back(static_cast<std::uint32_t>(event.data));
    }
    return xids;
  }

 private:
  void read_memory_into(wire::GpuSample& sample) {
    Nvml::Memory memory;
    const int code = read_memory(device_, memory);
    if (Nvml::is_lost(code)) lost_ = fmt::format("nvmlDeviceGetMemoryInfo: {}", nvml().error(code));
    if (code != Nvml::success) return;
    sample.memory_used_bytes = static_cast<std::int64_t>(memory.used);
    sample.memory_total_bytes = static_cast<std::int64_t>(memory.total);
  }
  template <typename Call, typename... Which>
  bool read(double& value, Call* call, Which... which) {
    unsigned read = 0;
    if (call == nullptr || call(device_, which..., &read) != Nvml::success) return false;
    value = read;
    return true;
  }

  Nvml::Device device_;
  Nvml::EventSet events_ = nullptr;
  std::string lost_;
};

} // namespace

std::unique_ptr<GpuProbe> open_nvml_probe(const std::string& uuid) {
  if (uuid.empty() || !nvml().usable() || nvml().init() != Nvml::success) return nullptr;
  Nvml::Device device = nullptr;
  const int code = nvml().by_uuid(uuid.c_str(), &device);
  if (Nvml::is_lost(code))
    return std::make_unique<NvmlProbe>(device, fmt::format("nvmlDeviceGetHandleByUUID: {}", nvml().error(code)));
  return code == Nvml::success ? std::make_unique<NvmlProbe>(device, "") : nullptr;
}

} // namespace mgpu::agent::gpu_health
