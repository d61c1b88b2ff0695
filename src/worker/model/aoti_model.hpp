#pragma once
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <memory>
#include <string>
#include <vector>

#include "mgpu/model.hpp"

namespace mgpu::worker {

/// A network compiled by AOTInductor. With a fixed batch size, shorter batches are padded with zero rows.
class AotiModel : public Model {
 public:
  AotiModel(const std::string& path, const std::string& model_name, const RankContext& context);
  std::vector<ModelOutput> call(const std::vector<torch::Tensor>& inputs) override;
  int inputs() const override { return inputs_; }

 private:
  std::vector<torch::Tensor> run_checked(const std::vector<torch::Tensor>& inputs);
  std::vector<torch::Tensor> run_padded(const std::vector<torch::Tensor>& inputs);

  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> loader_;
  torch::ScalarType dtype_;
  std::vector<std::string> paths_; ///< paths of the outputs
  std::int64_t full_batch_ = 0;    ///< rows of the first call that succeeded
  bool fixed_batch_ = false;       ///< a shorter batch was refused, and accepted when padded
  int inputs_ = 0;
};

} // namespace mgpu::worker
