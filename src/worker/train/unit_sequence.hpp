#pragma once
#include <cstdint>
#include <vector>

#include "common/wire/items_messages.hpp"
#include "mgpu/item.hpp"
#include "worker/train/sampler.hpp"
#include "worker/train/settings.hpp"

namespace mgpu::worker::train {

/// The rows of the training set that a rank loads in a stage: its share of each step, cut into units of a batch.
class UnitSequence {
 public:
  /// Starts at step `first_step` of the whole training, or at the stage's start. `plan` and `items` must outlive this object.
  UnitSequence(const Plan& plan, std::size_t stage, Sampler sampler, const std::vector<Item>& items, int rank, int world_size,
               std::uint64_t first_step);
  /// Fills in the epoch, the step (as the batch) and the items of the next unit; false at the end of the stage.
  bool next(wire::BatchRange& range);
  /// Number of units in a step of this stage.
  std::uint64_t units(std::uint64_t step) const;

 private:
  Range share_of(std::uint64_t step) const;

  const Plan& plan_;
  const StagePlan& stage_;
  Sampler sampler_;
  const std::vector<Item>& items_;
  std::uint64_t rank_, world_size_;
  std::uint64_t unit_rows_;
  std::uint64_t next_step_, next_unit_ = 0;
};

} // namespace mgpu::worker::train
