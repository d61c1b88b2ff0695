#include "agent/gpu_health/health_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace mgpu::agent::gpu_health {

using wire::GpuState;

namespace {

struct KnownXid {
  std::uint32_t number;
  XidKind kind;
  std::string_view text;
};

constexpr std::array<KnownXid, 20> known_xids{{
    {13, XidKind::application, "an exception in a kernel"},
    {31, XidKind::application, "an illegal address in a kernel"},
    {43, XidKind::application, "a kernel stopped"},
    {45, XidKind::application, "cleaned up after another error"},
    {46, XidKind::fatal, "the GPU stopped processing"},
    {48, XidKind::fatal, "a double-bit memory error"},
    {62, XidKind::fatal, "its power management has halted"},
    {63, XidKind::warning, "a damaged memory row was replaced"},
    {64, XidKind::fatal, "a damaged memory row could not be replaced"},
    {68, XidKind::application, "an exception of the video processor"},
    {74, XidKind::warning, "an NVLink error"},
    {79, XidKind::fatal, "the GPU has fallen off the bus"},
    {94, XidKind::warning, "a memory error that one process has met"},
    {95, XidKind::fatal, "a memory error that more than one process has met"},
    {109, XidKind::application, "a kernel did not give way"},
    {110, XidKind::fatal, "a security fault"},
    {119, XidKind::fatal, "its firmware does not answer"},
    {120, XidKind::fatal, "an error of its firmware"},
    {140, XidKind::fatal, "an unrecovered memory error"},
    {143, XidKind::fatal, "it could not be initialized"},
}};

const KnownXid* find_xid(std::uint32_t number) {
  const auto found =
      std::find_if(known_xids.begin(), known_xids.end(), [=](const KnownXid& each) { return each.number == number; });
  return found == known_xids.end() ? nullptr : &*found;
}

// Bits of nvmlClocksEventReasons, nvml.h.
constexpr std::int64_t software_heat = 0x20, hardware_heat = 0x40, power_brake = 0x80;

} // namespace

XidKind kind_of_xid(std::uint32_t xid) {
  const KnownXid* known = find_xid(xid);
  return known == nullptr ? XidKind::warning : known->kind;
}

std::string describe_xid(std::uint32_t xid) {
  const KnownXid* known = find_xid(xid);
  return known == nullptr ? fmt::format("Xid {}", xid) : fmt::format("Xid {} ({})", xid, known->text);
}

std::string describe_throttling(std::int64_t reasons) {
  if (reasons < 0) return "";
  std::string text = (reasons & (software_heat | hardware_heat)) != 0 ? "heat" : "";
  if ((reasons & power_brake) != 0) text += text.empty() ? "power brake" : ", power brake";
  return text;
}

Judgement HealthRules::judge(const Observation& seen) {
  new_warnings_.clear();
  if (!seen.lost.empty()) drain(seen.lost);
  for (const std::uint32_t xid : seen.xids) {
    const XidKind kind = kind_of_xid(xid);
    if (kind == XidKind::fatal) drain(describe_xid(xid));
    if (kind == XidKind::warning) warn_once(describe_xid(xid));
  }
  if (seen.sample) {
    judge_memory(*seen.sample);
    judge_heat(*seen.sample);
  }
  return {state_, reason_, new_warnings_};
}

void HealthRules::judge_memory(const wire::GpuSample& sample) {
  if (sample.uncorrected_ecc >= 0) {
    const std::int64_t before = ecc_.value_or(sample.uncorrected_ecc);
    if (!ecc_ && before > 0)
      warn_once(fmt::format("{} uncorrected memory error(s) before this run, since its driver was loaded", before));
    // A counter that falls was reset: it counts from there.
    ecc_ = std::min(before, sample.uncorrected_ecc);
    if (sample.uncorrected_ecc > before) drain(fmt::format("{} uncorrected memory error(s)", sample.uncorrected_ecc - before));
  }
  if (sample.remap_failed >= 0) {
    const std::int64_t before = remap_failed_.value_or(sample.remap_failed);
    if (!remap_failed_ && before > 0)
      warn_once("a damaged memory row could not be replaced, before this run; it should be repaired");
    remap_failed_ = before;
    if (sample.remap_failed > before) drain("a damaged memory row could not be replaced");
  }
  if (sample.remap_pending > 0) warn_once("a damaged memory row is replaced at its next reset");
}

void HealthRules::judge_heat(const wire::GpuSample& sample) {
  const double now_c = sample.temperature_c;
  const double limit_c = settings_.max_temperature_c;
  if (limit_c > 0 && state_ == GpuState::fine && now_c >= limit_c) {
    state_ = GpuState::held;
    reason_ = fmt::format("at {:.0f} °C, --max-gpu-temp is {:g}", now_c, limit_c);
  } else if (state_ == GpuState::held && now_c <= limit_c - rest_degrees) {
    state_ = GpuState::fine;
    reason_ = fmt::format("at {:.0f} °C", now_c);
  }
  if (now_c >= sample.slowdown_c && !std::exchange(hot_, true))
    new_warnings_.push_back(fmt::format("at {:.0f} °C; from {:.0f} °C on it slows down", now_c, sample.slowdown_c));
  if (now_c <= sample.slowdown_c - rest_degrees) hot_ = false;
  if (sample.throttle_reasons < 0) return;
  const std::string why = describe_throttling(sample.throttle_reasons);
  if (!why.empty() && !std::exchange(throttled_, true))
    new_warnings_.push_back(std::isnan(now_c) ? fmt::format("slowed down by {}", why)
                                              : fmt::format("slowed down by {}, at {:.0f} °C", why, now_c));
  if (why.empty()) throttled_ = false;
}

void HealthRules::drain(std::string reason) {
  if (state_ == GpuState::drained) return; // the first reason counts
  state_ = GpuState::drained;
  reason_ = std::move(reason);
}

void HealthRules::warn_once(const std::string& text) {
  if (given_.insert(text).second) new_warnings_.push_back(text);
}

} // namespace mgpu::agent::gpu_health
