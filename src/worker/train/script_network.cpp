#include "mgpu/script_network.hpp"

#include <fmt/format.h>
#include <torch/csrc/jit/python/update_graph_executor_opt.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "mgpu/error.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/model/flatten.hpp"
#include "worker/model/package.hpp"

namespace mgpu {

using namespace worker;

namespace {

/// The profiling executor runs the first steps unoptimised, recompiles later, and uses its own graphs for gradients: slower at
/// first, and other bits later. Without it a step runs the eager operators one after another.
void run_as_written() {
  torch::jit::getProfilingMode() = false;
  torch::jit::setGraphExecutorOptimize(false);
}

bool has_parameters(const torch::jit::Module& module) {
  return module.parameters().size() > 0;
}

bool any_trains(const torch::jit::Module& module) {
  for (const torch::Tensor& parameter : module.parameters())
    if (parameter.requires_grad()) return true;
  return false;
}

/// Keeps the normalisations of frozen layers in evaluation mode, so that their running statistics do not change.
void freeze_norms(const torch::jit::Module& module, bool frozen) {
  if (!frozen) frozen = has_parameters(module) && !any_trains(module);
  if (frozen && module.hasattr("running_mean") && module.hasattr("training")) {
    torch::jit::Module norm = module; // a handle
    norm.setattr("training", false);
  }
  for (const torch::jit::Module& child : module.children()) freeze_norms(child, frozen);
}

void weights_to_channels_last(torch::jit::Module& module) {
  for (torch::Tensor parameter : module.parameters())
    if (parameter.dim() == 4) parameter.set_data(parameter.data().contiguous(torch::MemoryFormat::ChannelsLast));
}

} // namespace

ScriptNetwork::ScriptNetwork(const std::string& path, torch::Device device) : device_(device) {
  run_as_written();
  if (inspect_package(path).kind != PackageKind::torchscript)
    throw usage_error(fmt::format("--model {}: a compiled network cannot be trained; give the TorchScript .pt", path));
  try {
    module_ = torch::jit::load(path, device_);
  } catch (const std::exception& error) {
    throw usage_error(fmt::format("{} is not a TorchScript file: {}", path, reason_of(error)));
  }
  const torch::NoGradGuard no_grad;
  for (torch::Tensor parameter : module_.parameters())
    if (parameter.is_floating_point() && parameter.scalar_type() != torch::kFloat)
      parameter.set_data(parameter.data().to(torch::kFloat));
  if (device_.is_cuda()) weights_to_channels_last(module_);
  for (const torch::Tensor& parameter : module_.parameters()) trainable_.push_back(parameter.requires_grad());
  const auto method = module_.find_method("forward");
  if (!method) throw usage_error(fmt::format("{}: the network has no forward method", path));
  inputs_ = static_cast<int>(method->function().getSchema().arguments().size()) - 1; // 0 is self
}

std::vector<NamedTensor> ScriptNetwork::parameters() const {
  std::vector<NamedTensor> parameters;
  for (const auto& each : module_.named_parameters()) parameters.push_back({each.name, each.value});
  return parameters;
}

std::vector<NamedTensor> ScriptNetwork::buffers() const {
  std::vector<NamedTensor> buffers;
  for (const auto& each : module_.named_buffers()) buffers.push_back({each.name, each.value});
  return buffers;
}

void ScriptNetwork::set_training(bool on) {
  if (training_ == on) return; // saves a visit of every submodule
  training_ = on;
  module_.train(on);
  if (on) freeze_norms(module_, false);
}

std::vector<torch::Tensor> ScriptNetwork::call(const std::vector<torch::Tensor>& inputs) {
  std::vector<c10::IValue> values;
  for (const torch::Tensor& input : inputs)
    values.emplace_back(device_.is_cuda() && input.dim() == 4 ? input.contiguous(torch::MemoryFormat::ChannelsLast) : input);
  std::vector<torch::Tensor> outputs;
  for (ModelOutput& output : flatten(module_.forward(std::move(values)), inputs.front().size(0), list_is_rows_)) {
    if (output.ragged) throw Error("a network whose output is a list of rows cannot be trained");
    outputs.push_back(std::move(output.tensor));
  }
  return outputs;
}

void ScriptNetwork::save(const std::string& path, const Bundle& bundle) const {
  const torch::NoGradGuard no_grad;
  torch::jit::Module copy = module_.deepcopy();
  copy.eval();
  copy.to(torch::kCPU);
  std::size_t at = 0;
  for (torch::Tensor parameter : copy.parameters()) {
    parameter.set_data(parameter.data().contiguous());
    parameter.requires_grad_(trainable_[at++]); // as in the loaded file: the freezing of a stage is not saved
  }
  copy.save(path, {{"bundle.json", bundle.embedded_json().dump(1)}});
}

} // namespace mgpu
