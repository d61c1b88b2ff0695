#pragma once
#include <cstdint>
#include <vector>

#include "worker/batch/micro_batch.hpp"
#include "worker/train/active_stage.hpp"
#include "worker/train/environment.hpp"
#include "worker/train/skipped_items.hpp"
#include "worker/train/step_sums.hpp"
#include "worker/train/totals.hpp"

namespace mgpu::worker::train {

/// A rank's share of one step's global batch: loaded in units, computed in micro-batches, which are halved when memory runs out.
class LocalBatch {
 public:
  struct Step {
    std::uint64_t number = 0;  ///< counted from 0
    std::uint64_t samples = 0; ///< planned size of the global batch
    double loss_scale = 1;
  };

  /// All but `step` must outlive this object.
  LocalBatch(const Environment& environment, ActiveStage& stage, MicroBatch& micro_batch, SkippedItems& skipped, Totals& totals,
             const Step& step);
  /// Forward and backward of all rows. Afterwards the gradients are those of the whole share, and their sums over the ranks have
  /// started. Throws Error when a parameter was not used (without --find-unused-parameters) or a single sample does not fit into
  /// memory.
  StepSums run();

 private:
  void run_unit(const Unit& unit, bool last);
  void run_rows(const Batch& batch, std::int64_t begin, std::int64_t end, bool last, const std::vector<bool>& finished);
  void check_unused();

  const Environment& environment_;
  ActiveStage& stage_;
  MicroBatch& micro_batch_;
  SkippedItems& skipped_;
  Totals& totals_;
  const Step step_;
  StepSums sums_;
};

} // namespace mgpu::worker::train
