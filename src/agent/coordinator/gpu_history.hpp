#pragma once
// The samples of a rank's GPU during the run, for /telemetry and for the summary.
#include <cstdint>
#include <string>
#include <vector>

#include "agent/write/hdf5/result_file.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// Keeps at most most_rows rows for a run of any length: when they are full, every second row is merged into the row before, and from then on half as
/// many are added. A merged row keeps the highest temperature, the errors, the reasons for throttling and the more serious state.
class GpuHistory {
 public:
  static constexpr std::size_t most_rows = 2000;

  /// `time_s`: since the start of the run.
  void add(const wire::Health& health, double time_s);

  const std::vector<write::TelemetryRow>& rows() const { return rows_; }
  wire::GpuState state() const { return state_; }
  /// For how long it was held, up to the last message.
  double held_s() const { return held_s_ + (state_ == wire::GpuState::held ? last_s_ - held_since_s_ : 0); }
  /// Why it was drained; "" if it was not.
  const std::string& drained() const { return drained_; }

 private:
  void thin();

  std::vector<write::TelemetryRow> rows_;
  std::uint64_t samples_ = 0, stride_ = 1; ///< every stride_-th sample makes a row
  wire::GpuState state_ = wire::GpuState::fine;
  double held_s_ = 0, held_since_s_ = 0, last_s_ = 0;
  std::string drained_;
};

} // namespace mgpu::agent
