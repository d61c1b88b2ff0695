#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "common/support/faults.hpp"
#include "mgpu/training.hpp"
#include "worker/batch/trace_events.hpp"
#include "worker/device/device_streams.hpp"
#include "worker/train/settings.hpp"

namespace mgpu::worker::train {

inline constexpr int run_thread = 1; ///< thread id in the trace

/// Objects shared by the parts of a training on one rank, which they all outlive.
struct Environment {
  const Settings& settings;
  const RankContext& context;
  Training& training;
  DeviceStreams& streams;
  TraceEvents& trace;
  Faults& faults;
  std::function<void(std::uint8_t level, const std::string& text)> log;
};

} // namespace mgpu::worker::train
