#pragma once
// A training in numbers, as rank 0 plans and prints it: batches, steps, learning rate.
#include <cstdint>
#include <optional>
#include <string>

#include "agent/coordinator/rank_table.hpp"
#include "agent/setup/run_setup.hpp"

namespace mgpu::agent {

struct TrainingPlan {
  std::int64_t batch_size = 1;   ///< of a rank: the largest micro-batch
  bool batch_found = false;      ///< --batch-size auto on GPUs: workers say what fits, at most as many as they find
  std::int64_t global_batch = 1; ///< samples of an optimizer step
  std::uint64_t steps_an_epoch = 1, epochs = 1;
  double lr_factor = 1; ///< what --lr-scaling multiplies with
  std::int64_t lr_reference = 1;
};

/// Puts the batch that follows from --batch-size, --global-batch, --accumulate, --quick-test and the checkpoint to begin from into
/// `config` and the plan. Throws usage_error with the nearest batch that would do.
TrainingPlan plan_training(const RunSetup& setup, int ranks, bool gpu, Config& config);

/// The plan when a rank's batch is `batch_size`, for instance because that is what fits.
TrainingPlan with_batch(const TrainingPlan& plan, const RunSetup& setup, int ranks, std::int64_t batch_size,
                        const Config& config);

void print_training_plan(const RunSetup& setup, const TrainingPlan& plan, const Config& config, const RankTable& rank_table,
                         const std::vector<comm::Binding>& bindings);

} // namespace mgpu::agent
