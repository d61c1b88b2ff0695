#pragma once
#include <torch/script.h>

#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/training.hpp"

namespace mgpu {

/// A TorchScript network that can be trained: its parameters are leaves, its graph is run as written (nothing frozen, folded or fused),
/// so that a step computes what PyTorch's eager mode computes.
class ScriptNetwork {
 public:
  /// Reads `path` onto the device, parameters in float32. Throws usage_error in one line: missing, not TorchScript, frozen (no parameters).
  ScriptNetwork(const std::string& path, torch::Device device);

  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  /// In training mode the normalisations of layers whose parameters are all frozen (no requires_grad) stay in evaluation mode.
  void set_training(bool on);
  /// Number of tensors forward takes.
  int inputs() const { return inputs_; }
  /// Outputs, flattened in order. Throws what PyTorch throws: out of memory must stay recognisable.
  std::vector<torch::Tensor> call(const std::vector<torch::Tensor>& inputs);
  /// Writes the network with storage of its own, in evaluation mode, parameters with the requires_grad they were read with; with the bundle that tells how to feed it inside the file, so that
  /// `infer --model FILE.pt` needs nothing else.
  void save(const std::string& path, const Bundle& bundle) const;

 private:
  torch::jit::Module module_;
  torch::Device device_;
  int inputs_ = 0;
  std::vector<bool> trainable_;  ///< by parameter: requires_grad in the file
  std::optional<bool> training_; ///< as last set
  std::optional<bool> list_is_rows_;
};

} // namespace mgpu
