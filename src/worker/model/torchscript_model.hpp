#pragma once
#include <torch/script.h>

#include <optional>
#include <string>
#include <vector>

#include "mgpu/model.hpp"

namespace mgpu::worker {

class TorchScriptModel : public Model {
 public:
  TorchScriptModel(const std::string& path, const RankContext& context);
  std::vector<ModelOutput> call(const std::vector<torch::Tensor>& inputs) override;
  int inputs() const override { return inputs_; }

 private:
  void count_inputs(const std::string& path);

  torch::jit::Module module_;
  torch::Device device_;
  torch::ScalarType dtype_;
  int inputs_ = 0;
  std::optional<bool> list_is_rows_;
};

} // namespace mgpu::worker
