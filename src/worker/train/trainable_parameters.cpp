#include "worker/train/trainable_parameters.hpp"

#include <algorithm>

namespace mgpu::worker::train {

TrainableParameters::TrainableParameters(Training& training, std::vector<NamedTensor> in_order)
    : training_(training), in_order_(std::move(in_order)) {
  for (const NamedTensor& parameter : in_order_)
    if (!parameter.tensor.requires_grad()) frozen_in_file_.insert(parameter.name);
}

TrainableParameters::Counts TrainableParameters::begin(const Stage& stage) {
  std::vector<std::string> names; // in the network's order, which determines its last layers; in_order_ is backward's
  for (const NamedTensor& parameter : training_.parameters()) names.push_back(parameter.name);
  const std::vector<bool> still = frozen(stage, names);
  Counts counts;
  for (const NamedTensor& parameter : in_order_) {
    const auto at = std::find(names.begin(), names.end(), parameter.name) - names.begin();
    const bool trains = !still[static_cast<std::size_t>(at)] && !frozen_in_file_.contains(parameter.name);
    parameter.tensor.requires_grad_(trains);
    counts.all += parameter.tensor.numel();
    if (trains) counts.trained += parameter.tensor.numel();
  }
  training_.set_training(false); // frozen layers are determined when training mode begins
  training_.set_training(true);
  return counts;
}

std::vector<NamedTensor> TrainableParameters::with_grad(bool requires_grad) const {
  std::vector<NamedTensor> parameters;
  for (const NamedTensor& parameter : in_order_)
    if (parameter.tensor.requires_grad() == requires_grad) parameters.push_back(parameter);
  return parameters;
}

} // namespace mgpu::worker::train
