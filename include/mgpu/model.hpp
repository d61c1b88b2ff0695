#pragma once
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// One thing a network returned.
struct ModelOutput {
  std::string path;                ///< where it stood: "" alone; "0", "1" of a tuple; a dict's key; "boxes_0" when nested
  torch::Tensor tensor;            ///< [B, …]; undefined when the output is ragged
  std::vector<torch::Tensor> rows; ///< ragged: one tensor a row of the batch
  bool ragged = false;
};

/// The tensors alone (those of ragged outputs one after another).
std::vector<torch::Tensor> tensors_of(const std::vector<ModelOutput>& outputs);

/// A network read from a TorchScript `.pt` or AOTInductor `.pt2` file, on one device.
///
/// Determinism: the same input gives the same bits at every call; nothing is profiled, fused or tuned between calls.
class Model {
 public:
  virtual ~Model() = default;
  /// Reads the file, moves it to context.device and context.dtype, freezes and optimises TorchScript. Throws usage_error in one line:
  /// missing, not a model, built for another device or architecture.
  static std::unique_ptr<Model> open(const std::string& path, const RankContext& context);
  /// Calls the network. Floating inputs are cast to its dtype. Outputs are flattened (tensor, tuple, list, dict, nested) in order.
  /// A TorchScript List[Tensor] is one tensor a row when the first call gives as many tensors as rows and they are not all
  /// batches themselves; else a list of outputs. Throws Error in one line.
  virtual std::vector<ModelOutput> call(const std::vector<torch::Tensor>& inputs) = 0;
  /// tensors_of(call(inputs)).
  std::vector<torch::Tensor> run(const std::vector<torch::Tensor>& inputs);
  /// Number of tensors the network takes, 0 where the file does not say.
  virtual int inputs() const = 0;
};

} // namespace mgpu
