#pragma once
#include "mgpu/tensor.hpp"

#include <memory>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// One output of a network.
struct ModelOutput {
  std::string path;                ///< place in the result: "" if alone; "0", "1" in a tuple; a dict's key; "boxes_0" if nested
  torch::Tensor tensor;            ///< [B, …]; undefined if the output is ragged
  std::vector<torch::Tensor> rows; ///< ragged: one tensor per row of the batch
  bool ragged = false;
};

/// The tensors of the outputs in order; of a ragged output all its rows.
std::vector<torch::Tensor> tensors_of(const std::vector<ModelOutput>& outputs);

/// A network read from a TorchScript `.pt` or AOTInductor `.pt2` file, on one device.
///
/// Determinism: the same input gives the same bits in every call. Nothing is profiled, fused or tuned between calls.
class Model {
 public:
  virtual ~Model() = default;
  /// Opens the file on context.device in context.dtype. TorchScript is frozen, and for float32 on a CPU optimised. Throws usage_error in
  /// one line: missing, not a model, built for another device or architecture.
  static std::unique_ptr<Model> open(const std::string& path, const RankContext& context);
  /// Calls the network. Floating-point inputs are converted to its dtype. Outputs are flattened (tensor, tuple, list, dict, nested) in
  /// order. A TorchScript List[Tensor] is one ragged output if the first call returns as many tensors as rows and not all of them are
  /// batches; otherwise it is a list of outputs. Throws Error in one line.
  virtual std::vector<ModelOutput> call(const std::vector<torch::Tensor>& inputs) = 0;
  /// tensors_of(call(inputs)).
  std::vector<torch::Tensor> run(const std::vector<torch::Tensor>& inputs);
  /// Number of tensors that the network takes; 0 if the file does not contain it.
  virtual int inputs() const = 0;
};

} // namespace mgpu
