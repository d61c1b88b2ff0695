#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>

#include "worker/batch/micro_batch.hpp"
#include "worker/train/best_validation.hpp"
#include "worker/train/loss_scale.hpp"
#include "worker/train/non_finite_steps.hpp"

namespace mgpu::worker::train {

/// The progress of a training: a checkpoint without its tensors.
struct Progress {
  Progress(bool scale_loss, std::uint32_t max_nonfinite) : loss_scale(scale_loss), non_finite(max_nonfinite) {}

  std::uint64_t step = 0;    ///< completed optimizer steps
  std::uint64_t updates = 0; ///< steps of this stage that changed the parameters
  std::size_t stage = 0;
  MicroBatch micro_batch; ///< of this stage
  LossScale loss_scale;
  NonFiniteSteps non_finite;
  BestValidation best;

  nlohmann::json to_json() const;
  /// Restores all but `step` and `stage`, which are known before the tensors can be read.
  void restore(const nlohmann::json& state);
};

} // namespace mgpu::worker::train
