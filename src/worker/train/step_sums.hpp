#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mgpu/tensor.hpp"
#include "worker/device/device_streams.hpp"

namespace mgpu::worker::train {

/// This rank's part of a step.
struct StepSums {
  std::vector<std::pair<torch::Tensor, std::int64_t>> losses; ///< mean loss on the device, number of rows
  std::vector<std::vector<std::uint64_t>> items;              ///< [losses] rows in the item list, as the items are freed earlier
  std::int64_t rows = 0, skipped = 0, out_of_memory = 0;
  std::uint32_t backwards = 0;
};

/// The losses of a StepSums on the host.
struct StepLosses {
  double sum = 0;                              ///< over the rows
  std::optional<std::uint64_t> not_finite_row; ///< the first row, in the item list, of the first loss that is not finite
  std::string not_finite;                      ///< the items whose loss is not finite: " 3 4"
};

/// Waits for the device once, not once per micro-batch.
StepLosses read_losses(const StepSums& sums, DeviceStreams& streams);

} // namespace mgpu::worker::train
