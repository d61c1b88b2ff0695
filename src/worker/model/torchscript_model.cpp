#include "worker/model/torchscript_model.hpp"

#include <fmt/format.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "mgpu/error.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/model/flatten.hpp"

namespace mgpu::worker {

namespace {

/// The profiling executor runs the first calls unoptimised and recompiles later: it is slower at first, and its fusions may
/// change the last bits between calls. The frozen graph is already optimised, so the simple executor is not slower.
void use_simple_executor() {
  torch::jit::getProfilingMode() = false;
}

bool is_tensor_argument(const c10::Argument& argument) {
  const auto& type = argument.type();
  if (type->isSubtypeOf(*c10::TensorType::get())) return true;
  const auto optional = type->cast<c10::OptionalType>();
  return optional != nullptr && optional->getElementType()->isSubtypeOf(*c10::TensorType::get());
}

/// Freezes the network, which requires that its attributes do not change; a network that cannot be frozen is used unchanged.
torch::jit::Module frozen(const torch::jit::Module& module) {
  try {
    return torch::jit::freeze(module);
  } catch (const c10::Error&) {
    return module;
  }
}

/// Folds batch norms and packs weights for oneDNN; for float32 on a CPU only.
torch::jit::Module optimised_for_cpu(torch::jit::Module module) {
  try {
    return torch::jit::optimize_for_inference(module);
  } catch (const c10::Error&) {
    return module;
  }
}

/// Makes all inlined code belong to forward. Freezing deletes the network's other functions, but code inlined from them still
/// points to them (PyTorch up to at least 2.11); an error report follows these pointers, and the process would end by SIGSEGV.
void give_to(torch::jit::Function& forward, torch::jit::Block& block) {
  for (torch::jit::Node* node : block.nodes()) {
    if (node->callstack()) node->setCallStack(c10::make_intrusive<torch::jit::InlinedCallStack>(&forward, node->sourceRange()));
    for (torch::jit::Block* inner : node->blocks()) give_to(forward, *inner);
    for (const c10::Symbol name : node->attributeNames())
      if (node->kindOf(name) == torch::jit::AttributeKind::g) give_to(forward, *node->g(name)->block());
  }
}

void weights_to_channels_last(torch::jit::Module& module) {
  for (torch::Tensor parameter : module.parameters())
    if (parameter.dim() == 4) parameter.set_data(parameter.data().contiguous(torch::MemoryFormat::ChannelsLast));
}

/// Converts only floating-point tensors; Module::to(type) would also convert integers (an index, a counter).
void convert_floats(torch::jit::Module& module, torch::ScalarType type) {
  const auto convert = [type](torch::Tensor tensor) {
    if (tensor.is_floating_point()) tensor.set_data(tensor.data().to(type));
  };
  for (const torch::Tensor& parameter : module.parameters()) convert(parameter);
  for (const torch::Tensor& buffer : module.buffers()) convert(buffer);
}

} // namespace

TorchScriptModel::TorchScriptModel(const std::string& path, const RankContext& context)
    : device_(context.device), dtype_(context.dtype) {
  use_simple_executor();
  const torch::NoGradGuard no_grad;
  try {
    module_ = torch::jit::load(path, device_);
  } catch (const std::exception& error) {
    throw usage_error(fmt::format("{} is not a TorchScript or AOTInductor file: {}", path, reason_of(error)));
  }
  count_inputs(path);
  context.progress("optimising the network", 0.6);
  module_.eval();
  convert_floats(module_, dtype_);
  if (device_.is_cuda()) weights_to_channels_last(module_);
  module_ = frozen(module_);
  if (device_.is_cpu() && dtype_ == torch::kFloat) module_ = optimised_for_cpu(module_);
  torch::jit::Function& forward = module_.get_method("forward").function();
  give_to(forward, *torch::jit::toGraphFunction(forward).graph()->block());
}

void TorchScriptModel::count_inputs(const std::string& path) {
  const auto method = module_.find_method("forward");
  if (!method) throw usage_error(fmt::format("{}: the network has no forward method", path));
  const auto& arguments = method->function().getSchema().arguments();
  for (std::size_t i = 1; i < arguments.size(); ++i) { // 0 is self
    if (!is_tensor_argument(arguments[i])) {
      if (arguments[i].default_value()) break;
      throw usage_error(fmt::format("{}: forward's argument '{}' is a {}, only tensors can be given", path, arguments[i].name(),
                                    arguments[i].type()->repr_str()));
    }
    ++inputs_;
  }
}

std::vector<ModelOutput> TorchScriptModel::call(const std::vector<torch::Tensor>& inputs) {
  std::vector<c10::IValue> values;
  values.reserve(inputs.size());
  for (const torch::Tensor& input : inputs) {
    torch::Tensor value = input.is_floating_point() ? input.to(dtype_) : input;
    if (device_.is_cuda() && value.dim() == 4) value = value.contiguous(torch::MemoryFormat::ChannelsLast);
    values.emplace_back(std::move(value));
  }
  const std::int64_t batch_size = inputs.empty() || inputs.front().dim() == 0 ? 0 : inputs.front().size(0);
  try {
    return flatten(module_.forward(std::move(values)), batch_size, list_is_rows_);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error("the model failed: " + reason_of(error));
  }
}

} // namespace mgpu::worker
