#include "worker/train/unit_sequence.hpp"

#include <algorithm>

namespace mgpu::worker::train {

UnitSequence::UnitSequence(const Plan& plan, std::size_t stage, Sampler sampler, const std::vector<Item>& items, int rank,
                           int world_size, std::uint64_t first_step)
    : plan_(plan),
      stage_(plan.stages[stage]),
      sampler_(std::move(sampler)),
      items_(items),
      rank_(static_cast<std::uint64_t>(rank)),
      world_size_(static_cast<std::uint64_t>(world_size)),
      unit_rows_(static_cast<std::uint64_t>(stage_.batch_size)),
      next_step_(std::max(first_step, stage_.first_step)) {}

bool UnitSequence::next(wire::BatchRange& range) {
  const std::uint64_t end = std::min(stage_.first_step + stage_.steps, plan_.steps);
  for (; next_step_ < end; ++next_step_, next_unit_ = 0) {
    const Range mine = share_of(next_step_);
    const std::uint64_t begin = next_unit_ * unit_rows_;
    if (begin >= mine.size()) continue;
    const std::uint64_t position = plan_.step_in_epoch(next_step_) * static_cast<std::uint64_t>(stage_.global_batch) + mine.begin;
    range.epoch = plan_.epoch_number(next_step_) - 1;
    range.batch = next_step_;
    for (std::uint64_t row = begin; row < std::min(begin + unit_rows_, mine.size()); ++row)
      range.items.push_back(items_[sampler_.order(range.epoch, position + row)]);
    ++next_unit_;
    return true;
  }
  return false;
}

std::uint64_t UnitSequence::units(std::uint64_t step) const {
  return (share_of(step).size() + unit_rows_ - 1) / unit_rows_;
}

Range UnitSequence::share_of(std::uint64_t step) const {
  return share(plan_.samples(step), rank_, world_size_);
}

} // namespace mgpu::worker::train
