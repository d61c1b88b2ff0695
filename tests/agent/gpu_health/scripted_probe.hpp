#pragma once
// A GPU that shows what the test says, and may hang.
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "agent/gpu_health/gpu_probe.hpp"

namespace mgpu::agent::gpu_health {

/// Shared by the test and the probe, which may outlive the test's objects.
struct GpuScript {
  std::atomic<double> temperature_c{40};
  std::atomic<bool> hangs{false}, no_gpu{false};
  std::atomic<int> samples{0};
  std::mutex mutex;
  std::vector<std::uint32_t> xids; ///< guarded by mutex
  std::string lost;                ///< guarded by mutex

  void strike(std::uint32_t xid) {
    const std::lock_guard lock(mutex);
    xids.push_back(xid);
  }
  void wait() const {
    while (hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

class ScriptedProbe final : public GpuProbe {
 public:
  explicit ScriptedProbe(std::shared_ptr<GpuScript> script) : script_(std::move(script)) {}
  wire::GpuSample sample(std::string& lost) override {
    script_->wait();
    ++script_->samples;
    const std::lock_guard lock(script_->mutex);
    lost = script_->lost;
    wire::GpuSample sample;
    sample.temperature_c = script_->temperature_c;
    return sample;
  }
  std::vector<std::uint32_t> take_xids() override {
    const std::lock_guard lock(script_->mutex);
    return std::exchange(script_->xids, {});
  }

 private:
  std::shared_ptr<GpuScript> script_;
};

inline std::unique_ptr<GpuProbe> open_scripted(const std::shared_ptr<GpuScript>& script) {
  script->wait();
  if (script->no_gpu) return nullptr;
  return std::make_unique<ScriptedProbe>(script);
}

} // namespace mgpu::agent::gpu_health
