#pragma once
#include "worker/train/trainer.hpp"

namespace mgpu::worker::train {

/// This rank's part of a step.
struct Trainer::StepSums {
  std::vector<std::pair<torch::Tensor, std::int64_t>> losses; ///< mean of so many rows; read once, at the end
  std::vector<std::vector<std::uint64_t>> items; ///< [losses] rows in the item list: the items themselves are gone by then
  double loss_sum = 0;
  std::int64_t rows = 0, skipped = 0, out_of_memory = 0;
  std::uint32_t backwards = 0;
  std::string not_finite; ///< which items' loss was not
};

} // namespace mgpu::worker::train
