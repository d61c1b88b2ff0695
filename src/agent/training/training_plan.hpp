#pragma once
// The numbers of a training that rank 0 plans and prints: batches, steps, learning rate.
#include <cstdint>
#include <optional>
#include <string>

#include "agent/coordinator/rank_table.hpp"
#include "agent/setup/run_setup.hpp"

namespace mgpu::agent {

struct TrainingPlan {
  std::int64_t batch_size = 1;   ///< per rank: the largest micro-batch
  bool batch_found = false;      ///< --batch-size auto on GPUs: the workers find what fits
  std::int64_t global_batch = 1; ///< samples per optimizer step
  std::uint64_t steps_an_epoch = 1, epochs = 1;
  double lr_factor = 1; ///< factor of --lr-scaling
  std::int64_t lr_reference = 1;
};

/// Computes the batch from --batch-size, --global-batch, --accumulate, --quick-test and the checkpoint to resume from; sets it in
/// `config` and the plan. Throws usage_error with the nearest batch that is possible.
TrainingPlan plan_training(const RunSetup& setup, int ranks, bool gpu, Config& config);

/// The plan for another batch size per rank, for instance the one that fits.
TrainingPlan with_batch(const TrainingPlan& plan, const RunSetup& setup, int ranks, std::int64_t batch_size,
                        const Config& config);

void print_training_plan(const RunSetup& setup, const TrainingPlan& plan, const Config& config, const RankTable& rank_table,
                         const std::vector<comm::Binding>& bindings);

} // namespace mgpu::agent
