// The out-of-line part of mgpu/training.hpp.
#include "mgpu/training.hpp"
#include "worker/device/torch.hpp"

namespace mgpu {

void Sums::add(const std::string& name, double value, double weight) {
  auto& [sum, all] = means[name];
  sum += value;
  all += weight;
}

void Sums::add_class(std::int64_t label, bool right) {
  const auto place = static_cast<std::size_t>(label);
  if (place >= classes.size()) classes.resize(place + 1);
  classes[place].first += right ? 1 : 0;
  classes[place].second += 1;
}

torch::Tensor Training::trial_row(int) const {
  const auto spec = row_spec();
  return spec ? torch::zeros(spec->shape, spec->type) : torch::Tensor();
}

} // namespace mgpu
