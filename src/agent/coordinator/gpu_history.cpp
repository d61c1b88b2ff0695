#include "agent/coordinator/gpu_history.hpp"

#include <algorithm>
#include <cmath>

#include "agent/gpu_health/health_rules.hpp"

namespace mgpu::agent {

using wire::GpuState;

namespace {

std::uint32_t worse_xid(std::uint32_t before, std::uint32_t now) {
  if (before == 0 || now == 0) return std::max(before, now);
  return gpu_health::kind_of_xid(now) > gpu_health::kind_of_xid(before) ? now : before;
}

write::TelemetryRow row_of(const wire::Health& health, double time_s) {
  const wire::GpuSample& sample = health.sample;
  write::TelemetryRow row;
  row.time_s = time_s;
  row.temperature_c = static_cast<float>(sample.temperature_c);
  row.utilization_percent = static_cast<float>(sample.utilization_percent);
  row.power_w = static_cast<float>(sample.power_w);
  row.sm_clock_mhz = static_cast<float>(sample.sm_clock_mhz);
  row.memory_used_bytes = sample.memory_used_bytes;
  row.memory_total_bytes = sample.memory_total_bytes;
  row.throttle_reasons = sample.throttle_reasons;
  row.uncorrected_ecc = sample.uncorrected_ecc;
  row.remap_pending = static_cast<std::int8_t>(sample.remap_pending);
  row.remap_failed = static_cast<std::int8_t>(sample.remap_failed);
  for (const std::uint32_t xid : health.xids) row.xid = worse_xid(row.xid, xid);
  row.state = static_cast<std::uint8_t>(health.state);
  return row;
}

bool has_numbers(const wire::GpuSample& sample) {
  return !std::isnan(sample.temperature_c) || sample.memory_total_bytes >= 0 || !std::isnan(sample.utilization_percent);
}

void merge(write::TelemetryRow& into, const write::TelemetryRow& row) {
  into.temperature_c = std::fmax(into.temperature_c, row.temperature_c);
  into.throttle_reasons = into.throttle_reasons < 0  ? row.throttle_reasons
                          : row.throttle_reasons < 0 ? into.throttle_reasons
                                                     : into.throttle_reasons | row.throttle_reasons;
  into.uncorrected_ecc = std::max(into.uncorrected_ecc, row.uncorrected_ecc);
  into.remap_pending = std::max(into.remap_pending, row.remap_pending);
  into.remap_failed = std::max(into.remap_failed, row.remap_failed);
  into.xid = worse_xid(into.xid, row.xid);
  into.state = std::max(into.state, row.state);
}

} // namespace

void GpuHistory::add(const wire::Health& health, double time_s) {
  last_s_ = time_s;
  if (health.state != state_) {
    if (state_ == GpuState::held) held_s_ += time_s - held_since_s_;
    if (health.state == GpuState::held) held_since_s_ = time_s;
    if (health.state == GpuState::drained) drained_ = health.reason;
    state_ = health.state;
  }
  const write::TelemetryRow row = row_of(health, time_s);
  // An Xid alone, and the word that nothing is known, are no sample.
  const bool makes_row = rows_.empty() || (has_numbers(health.sample) && samples_ % stride_ == 0);
  samples_ += rows_.empty() || has_numbers(health.sample) ? 1 : 0;
  if (!makes_row) return merge(rows_.back(), row);
  if (rows_.size() == most_rows) {
    thin();
    if ((samples_ - 1) % stride_ != 0) return merge(rows_.back(), row);
  }
  rows_.push_back(row);
}

void GpuHistory::thin() {
  stride_ *= 2;
  for (std::size_t at = 0; at < rows_.size(); ++at) {
    if (at % 2 == 0)
      rows_[at / 2] = rows_[at];
    else
      merge(rows_[at / 2], rows_[at]);
  }
  rows_.resize((rows_.size() + 1) / 2);
}

} // namespace mgpu::agent
