#pragma once
// The numbers of one stage of a training: pure arithmetic, shared by the agent that prints them and the workers.
#include <cstdint>

namespace mgpu {

/// The settings of a stage.
struct StageRequest {
  std::uint64_t items = 0;       ///< of the training set
  double subset = 1;             ///< share of the items in use
  std::int64_t batch_size = 1;   ///< per rank
  std::int64_t global_batch = 0; ///< samples per optimizer step; 0: ranks × batch × accumulate
  std::int64_t accumulate = 1;
  std::int64_t ranks = 1;
  std::uint64_t epochs = 1;
  std::uint64_t first_step = 0; ///< steps of the previous stages
  std::uint64_t max_steps = 0;  ///< of all stages; 0: no limit
};

struct StageNumbers {
  std::uint64_t items = 0; ///< in use
  std::int64_t global_batch = 1;
  std::uint64_t steps_an_epoch = 1;
  std::uint64_t steps = 1;
};

StageNumbers stage_numbers(const StageRequest& request);

/// Number of items in a subset with the share `fraction`: at least one. Throws usage_error unless 0 < fraction ≤ 1.
std::uint64_t subset_size(std::uint64_t items, double fraction);

} // namespace mgpu
