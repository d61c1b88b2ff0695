#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "mgpu/training.hpp"
#include "worker/train/settings.hpp"

namespace mgpu::worker::train {

/// The parameters of a network that a stage trains.
class TrainableParameters {
 public:
  struct Counts {
    std::int64_t trained = 0, all = 0; ///< number of elements
  };

  /// `in_order`: all parameters in the order of backward. Those loaded without requires_grad are never trained.
  TrainableParameters(Training& training, std::vector<NamedTensor> in_order);
  /// Freezes the parameters that `stage` does not train, and puts the network into training mode. Throws usage_error as frozen().
  Counts begin(const Stage& stage);
  /// Parameters of the last begun stage, in the order of backward.
  std::vector<NamedTensor> trained() const { return with_grad(true); }
  std::vector<NamedTensor> untrained() const { return with_grad(false); }

 private:
  std::vector<NamedTensor> with_grad(bool requires_grad) const;

  Training& training_;
  std::vector<NamedTensor> in_order_;
  std::set<std::string> frozen_in_file_;
};

} // namespace mgpu::worker::train
