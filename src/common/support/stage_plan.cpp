#include "common/support/stage_plan.hpp"

#include <algorithm>
#include <cmath>

#include "mgpu/error.hpp"

namespace mgpu {

std::uint64_t subset_size(std::uint64_t items, double fraction) {
  if (!(fraction > 0 && fraction <= 1)) throw usage_error("the subset of an epoch must be above 0 and at most 1");
  const auto wanted = static_cast<std::uint64_t>(std::llround(static_cast<double>(items) * fraction));
  return items == 0 ? 0 : std::clamp<std::uint64_t>(wanted, 1, items);
}

StageNumbers stage_numbers(const StageRequest& request) {
  StageNumbers stage;
  stage.items = subset_size(request.items, request.subset);
  stage.global_batch = request.global_batch > 0 ? request.global_batch : request.batch_size * request.accumulate * request.ranks;
  const auto global = static_cast<std::uint64_t>(stage.global_batch);
  stage.steps_an_epoch = (stage.items + global - 1) / global;
  stage.steps = stage.steps_an_epoch * request.epochs;
  if (request.max_steps > 0)
    stage.steps = std::min(stage.steps, request.max_steps - std::min(request.max_steps, request.first_step));
  return stage;
}

} // namespace mgpu
