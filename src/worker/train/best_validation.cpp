#include "worker/train/best_validation.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace mgpu::worker::train {

namespace {

std::optional<double> value_of(const std::vector<wire::Metric>& values, std::string_view name) {
  const auto found = std::find_if(values.begin(), values.end(), [&](const wire::Metric& each) { return each.name == name; });
  return found == values.end() ? std::nullopt : std::optional(found->value);
}

/// The deciding value, and whether larger is better.
std::pair<double, bool> judged(const std::vector<wire::Metric>& values) {
  if (const auto accuracy = value_of(values, "accuracy")) return {*accuracy, true};
  if (const auto cer = value_of(values, "cer")) return {*cer, false};
  return {value_of(values, "loss").value_or(0), false};
}

} // namespace

bool BestValidation::note(const std::vector<wire::Metric>& values, std::uint64_t step) {
  const auto [value, more_is_better] = judged(values);
  if (std::isnan(value)) return false; // comparisons with NaN are false: every later validation would be the best
  if (value_ && (more_is_better ? value <= *value_ : value >= *value_)) return false;
  restore(value, step);
  return true;
}

void BestValidation::restore(double value, std::uint64_t step) {
  value_ = value;
  step_ = step;
}

} // namespace mgpu::worker::train
