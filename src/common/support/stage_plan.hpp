#pragma once
// One stage of a training in numbers: pure arithmetic, one for the agent that prints it and the workers that do it.
#include <cstdint>

namespace mgpu {

/// What was asked for.
struct StageRequest {
  std::uint64_t items = 0;       ///< of the training set
  double subset = 1;             ///< share of them that takes part
  std::int64_t batch_size = 1;   ///< a rank's
  std::int64_t global_batch = 0; ///< samples of an optimizer step; 0: ranks × batch × accumulate
  std::int64_t accumulate = 1;
  std::int64_t ranks = 1;
  std::uint64_t epochs = 1;
  std::uint64_t first_step = 0; ///< steps of the stages before
  std::uint64_t max_steps = 0;  ///< of all stages; 0: no limit
};

struct StageNumbers {
  std::uint64_t items = 0; ///< that take part
  std::int64_t global_batch = 1;
  std::uint64_t steps_an_epoch = 1;
  std::uint64_t steps = 1;
};

StageNumbers stage_numbers(const StageRequest& request);

/// Samples of an epoch that visits `fraction` of `items`: at least one. Throws usage_error unless 0 < fraction ≤ 1.
std::uint64_t subset_size(std::uint64_t items, double fraction);

} // namespace mgpu
