#pragma once
// Decides what a GPU's values mean: a warning, a hold, or a drain. Uses no clock and no driver.
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/gpu_health/gpu_monitor.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent::gpu_health {

enum class XidKind : std::uint8_t {
  application, ///< caused by the program, which gets a CUDA error
  warning,     ///< the GPU continues, or another error follows
  fatal,       ///< the GPU needs a reset, a reboot or a repair
};

/// By NVIDIA's catalogue of Xid errors (https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, column "Resolution Bucket
/// (Immediate Action)"). fatal: those of the hardware and its firmware with RESET_GPU or RESTART_BM: 46 (GPU stopped processing), 48 (double-bit
/// ECC error), 62 (PMU halted), 64 (row not remapped), 79 (fallen off the bus), 95 (uncontained error), 110 (security fault), 119 and 120 (GSP),
/// 140 (unrecovered ECC error), 143 (GPU not initialized). application: 13, 31, 43, 45, 68 and 109, which the health check of NVIDIA's Kubernetes
/// device plugin leaves out as well (a kernel that never ends gives 109, for which the catalogue names a reset). Others, among them 74 (NVLink),
/// 63 (row remapped) and 94 (contained error), warn.
XidKind kind_of_xid(std::uint32_t xid);
/// "Xid 79 (the GPU has fallen off the bus)".
std::string describe_xid(std::uint32_t xid);

/// "heat", "heat, power brake": the bits of nvmlClocksEventReasons that mean trouble; "" if there are none. A power cap and an idle GPU are
/// normal.
std::string describe_throttling(std::int64_t reasons);

struct HealthSettings {
  double max_temperature_c = 0; ///< --max-gpu-temp; 0: none
};

struct Judgement {
  wire::GpuState state = wire::GpuState::fine;
  std::string reason;                ///< of the state; of fine: why it is fine again, "" if it always was
  std::vector<std::string> warnings; ///< new ones
};

/// The rules for one GPU. It is held from --max-gpu-temp on until it is 5 degrees cooler. An uncorrected memory error, a row that could not be
/// remapped, a fatal Xid or a lost GPU drains it permanently; errors from before the run only warn. Every warning is given once; those of heat and
/// throttling again when they return. Unknown values change nothing.
class HealthRules {
 public:
  explicit HealthRules(HealthSettings settings) : settings_(settings) {}
  Judgement judge(const Observation& seen);

  static constexpr double rest_degrees = 5;

 private:
  void judge_memory(const wire::GpuSample& sample);
  void judge_heat(const wire::GpuSample& sample);
  void drain(std::string reason);
  void warn_once(const std::string& text);

  HealthSettings settings_;
  wire::GpuState state_ = wire::GpuState::fine;
  std::string reason_;
  std::vector<std::string> new_warnings_;
  std::set<std::string> given_;     ///< warnings
  std::optional<std::int64_t> ecc_; ///< when it was first known
  std::optional<std::int64_t> remap_failed_;
  bool hot_ = false, throttled_ = false; ///< told
};

} // namespace mgpu::agent::gpu_health
