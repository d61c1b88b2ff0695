#include "worker/train/non_finite_steps.hpp"

#include <fmt/format.h>

namespace mgpu::worker::train {

std::optional<std::string> NonFiniteSteps::note(const StepFacts& facts, std::uint64_t step) {
  if (facts.finite()) {
    in_a_row_ = 0;
    return std::nullopt;
  }
  if (++in_a_row_ < limit_) return std::nullopt;
  return fmt::format(
      "the loss was not finite in {} steps in a row; at step {} on {}; a smaller --lr, --clip-norm or "
      "other data may help",
      in_a_row_, step, facts.where_not_finite());
}

} // namespace mgpu::worker::train
