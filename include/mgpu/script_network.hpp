#pragma once
#include <torch/script.h>

#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/training.hpp"

namespace mgpu {

/// A TorchScript network for training. Its parameters are leaves. Its graph runs as written (nothing frozen, folded or fused), so a step
/// computes the same as PyTorch's eager mode.
class ScriptNetwork {
 public:
  /// Loads `path` on the device, with parameters in float32. Throws usage_error in one line: missing, not TorchScript, no forward method.
  ScriptNetwork(const std::string& path, torch::Device device);

  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  /// Train mode or evaluation mode. Normalisations of layers whose parameters are all frozen (no requires_grad) stay in evaluation mode.
  void set_training(bool on);
  /// Number of tensors that forward takes.
  int inputs() const { return inputs_; }
  /// Returns the outputs, flattened in order. PyTorch's exceptions pass unchanged: the caller must recognise out of memory.
  std::vector<torch::Tensor> call(const std::vector<torch::Tensor>& inputs);
  /// Writes a copy of the network in evaluation mode, with the requires_grad flags of the loaded file. The file contains the bundle, so
  /// that `infer --model FILE.pt` needs nothing else.
  void save(const std::string& path, const Bundle& bundle) const;

 private:
  torch::jit::Module module_;
  torch::Device device_;
  int inputs_ = 0;
  std::vector<bool> trainable_;  ///< by parameter: requires_grad in the loaded file
  std::optional<bool> training_; ///< the last argument of set_training
  std::optional<bool> list_is_rows_;
};

} // namespace mgpu
