#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "worker/train/step_facts.hpp"

namespace mgpu::worker::train {

/// Counts consecutive steps whose loss is not finite.
class NonFiniteSteps {
 public:
  /// `limit`: number of consecutive steps that ends the training.
  explicit NonFiniteSteps(std::uint32_t limit) : limit_(limit) {}
  /// After step `step` (counted from 1). Returns why the training ends, the same text on every rank; nullopt when it continues.
  std::optional<std::string> note(const StepFacts& facts, std::uint64_t step);
  std::uint32_t in_a_row() const { return in_a_row_; }
  void restore(std::uint32_t in_a_row) { in_a_row_ = in_a_row; }

 private:
  std::uint32_t limit_, in_a_row_ = 0;
};

} // namespace mgpu::worker::train
