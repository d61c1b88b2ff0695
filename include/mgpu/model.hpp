#pragma once
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// A network read from a TorchScript `.pt` or AOTInductor `.pt2` file, on one device.
class Model {
 public:
  virtual ~Model() = default;
  /// Reads the file, moves it to context.device and context.dtype, freezes and optimises TorchScript. Throws usage_error in one line:
  /// missing, not a model, built for another device or architecture.
  static std::unique_ptr<Model> open(const std::string& path, const RankContext& context);
  /// Calls the network; outputs are flattened (tensor, tuple, list, dict) in order.
  /// Floating inputs are cast to the model's dtype.
  virtual std::vector<torch::Tensor> run(const std::vector<torch::Tensor>& inputs) = 0;
  /// Number of tensors the network takes, 0 where the file does not say.
  virtual int inputs() const = 0;
  /// Names of outputs when the network returns a dict (valid after the first run); else empty.
  virtual std::vector<std::string> output_names() const { return {}; }
};

} // namespace mgpu
