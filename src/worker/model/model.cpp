#include "mgpu/model.hpp"

#include "worker/model/aoti_model.hpp"
#include "worker/model/package.hpp"
#include "worker/model/torchscript_model.hpp"

namespace mgpu {

using namespace worker;

std::unique_ptr<Model> Model::open(const std::string& path, const RankContext& context) {
  const Package package = inspect_package(path);
  context.progress("reading the network", 0.1);
  std::unique_ptr<Model> model;
  if (package.kind == PackageKind::aotinductor)
    model = std::make_unique<AotiModel>(path, package.model_name, context);
  else
    model = std::make_unique<TorchScriptModel>(path, context);
  context.progress("network ready", 0.9);
  return model;
}

std::vector<torch::Tensor> tensors_of(const std::vector<ModelOutput>& outputs) {
  std::vector<torch::Tensor> tensors;
  for (const ModelOutput& output : outputs) {
    if (output.ragged)
      tensors.insert(tensors.end(), output.rows.begin(), output.rows.end());
    else
      tensors.push_back(output.tensor);
  }
  return tensors;
}

std::vector<torch::Tensor> Model::run(const std::vector<torch::Tensor>& inputs) {
  return tensors_of(call(inputs));
}

} // namespace mgpu
