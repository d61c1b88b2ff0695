#pragma once
#include <cstdint>

namespace mgpu::worker::train {

/// Where the time of the run thread went, seconds.
struct TimeSplit {
  double load_wait_s = 0, forward_s = 0, backward_s = 0, reduce_wait_s = 0, update_s = 0, load_s = 0;
};

/// What a rank has done since its training began.
struct Totals {
  TimeSplit times;
  std::uint64_t samples = 0, skipped = 0;
  std::uint64_t units = 0; ///< batches as they were loaded
};

} // namespace mgpu::worker::train
