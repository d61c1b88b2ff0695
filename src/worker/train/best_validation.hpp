#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "common/wire/training_messages.hpp"

namespace mgpu::worker::train {

/// The best validation: by accuracy if available, else by character error rate, else by loss.
class BestValidation {
 public:
  /// Call it after a validation at `step`; returns whether it is the best so far. A tie is not; NaN never is.
  bool note(const std::vector<wire::Metric>& values, std::uint64_t step);
  std::optional<double> value() const { return value_; } ///< nullopt: none so far
  std::uint64_t step() const { return step_; }
  void restore(double value, std::uint64_t step);

 private:
  std::optional<double> value_;
  std::uint64_t step_ = 0;
};

} // namespace mgpu::worker::train
