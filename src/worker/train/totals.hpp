#pragma once
#include <cstdint>

namespace mgpu::worker::train {

/// Times of the run thread, seconds; load_s: of all loaders.
struct TimeSplit {
  double load_wait_s = 0, forward_s = 0, backward_s = 0, reduce_wait_s = 0, update_s = 0, load_s = 0;
};

/// The totals of a rank since its training started.
struct Totals {
  TimeSplit times;
  std::uint64_t samples = 0, skipped = 0;
  std::uint64_t units = 0; ///< loaded batches
};

} // namespace mgpu::worker::train
