#include "worker/model/aoti_model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <map>
#include <sstream>

#include "mgpu/error.hpp"
#include "worker/device/gpu_facts.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/model/flatten.hpp"
#include "worker/model/package.hpp"

namespace mgpu::worker {

namespace {

using Metadata = std::unordered_map<std::string, std::string>;

std::string value_of(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

void check_cuda(const std::string& path, const Metadata& metadata, const torch::Device& device) {
  const std::string built = value_of(metadata, "AOTI_COMPUTE_CAPABILITY");
  if (built.find_first_not_of("0123456789") != std::string::npos || built.size() < 2)
    return; // "90", "120"; other values are not checked
  const int major = std::stoi(built.substr(0, built.size() - 1)), minor = built.back() - '0';
  const auto [have_major, have_minor] = compute_capability(device.index());
  // Machine code also runs on later minor versions of the same major version.
  if (have_major != major || have_minor < minor)
    throw usage_error(fmt::format("{} was compiled for compute capability {}.{}, this GPU has {}.{}", path, major, minor,
                                  have_major, have_minor));
}

/// A package is machine code: on the wrong device or processor it would crash, or fail without a useful message.
void check_fits(const std::string& path, const Metadata& metadata, const torch::Device& device) {
  const std::string built_for = value_of(metadata, "AOTI_DEVICE_KEY");
  const std::string have = device.is_cuda() ? "cuda" : "cpu";
  if (!built_for.empty() && built_for != have)
    throw usage_error(fmt::format("{} was compiled for {}, this rank runs on {}", path, built_for, have));
  utsname machine{};
  uname(&machine);
  const std::string arch = value_of(metadata, "AOTI_MACHINE");
  if (!arch.empty() && arch != machine.machine)
    throw usage_error(fmt::format("{} was compiled for {} processors, this machine is {}", path, arch, machine.machine));
  const std::string lacking = missing_cpu_feature(value_of(metadata, "AOTI_CPU_ISA"));
  if (!device.is_cuda() && !lacking.empty())
    throw usage_error(fmt::format("{} was compiled for a processor with {}, which this one lacks", path, lacking));
  if (device.is_cuda()) check_cuda(path, metadata, device);
}

std::string shapes_of(const std::vector<torch::Tensor>& inputs) {
  std::ostringstream text;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    text << (i > 0 ? ", " : "") << inputs[i].sizes() << ' ' << c10::toString(inputs[i].scalar_type());
  return text.str();
}

} // namespace

AotiModel::AotiModel(const std::string& path, const std::string& model_name, const RankContext& context) : dtype_(context.dtype) {
  // Without this check a compiled network reads beyond the end of an input of another shape.
  setenv("AOTI_RUNTIME_CHECK_INPUTS", "1", 1);
  try {
    check_fits(path, torch::inductor::AOTIModelPackageLoader::load_metadata_from_package(path, model_name), context.device);
    context.progress("loading the compiled network", 0.5);
    loader_ = std::make_unique<torch::inductor::AOTIModelPackageLoader>(path, model_name, false, 1,
                                                                        context.device.is_cuda() ? context.device.index() : -1);
    const auto specs = loader_->get_call_spec(); // {inputs, outputs}
    if (specs.size() == 2) {
      inputs_ = static_cast<int>(leaf_paths(specs[0]).size());
      paths_ = leaf_paths(specs[1]);
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw usage_error(fmt::format("{} is not a usable AOTInductor file: {}", path, reason_of(error)));
  }
}

std::vector<torch::Tensor> AotiModel::run_checked(const std::vector<torch::Tensor>& inputs) {
  const bool on_gpu = !inputs.empty() && inputs.front().is_cuda();
  const int device = on_gpu ? inputs.front().get_device() : -1;
  const std::int64_t before = on_gpu ? times_out_of_memory(device) : 0;
  try {
    return loader_->run(inputs);
  } catch (const std::exception& error) {
    std::string reason = reason_of(error);
    // The compiled code reports only that a call failed.
    if (on_gpu && times_out_of_memory(device) > before) {
      Error memory(fmt::format("CUDA out of memory in the compiled model, for {}", shapes_of(inputs)));
      memory.cause = Cause::memory;
      throw memory;
    }
    if (reason.find("API call failed") != std::string::npos) // the compiled code has printed the details on stderr
      reason =
          fmt::format("the compiled model refuses input {} (another shape or type than it was exported for)", shapes_of(inputs));
    throw Error(reason);
  }
}

std::vector<torch::Tensor> AotiModel::run_padded(const std::vector<torch::Tensor>& inputs) {
  const std::int64_t rows = inputs.front().size(0);
  std::vector<torch::Tensor> padded;
  for (const torch::Tensor& input : inputs) {
    auto shape = input.sizes().vec();
    shape[0] = full_batch_ - rows;
    padded.push_back(torch::cat({input, torch::zeros(shape, input.options())}));
  }
  auto outputs = run_checked(padded);
  for (torch::Tensor& output : outputs)
    if (output.dim() > 0 && output.size(0) == full_batch_) output = output.narrow(0, 0, rows);
  return outputs;
}

std::vector<ModelOutput> AotiModel::call(const std::vector<torch::Tensor>& inputs) {
  std::vector<torch::Tensor> values;
  for (const torch::Tensor& input : inputs) values.push_back((input.is_floating_point() ? input.to(dtype_) : input).contiguous());
  const std::int64_t rows = values.empty() || values.front().dim() == 0 ? 0 : values.front().size(0);

  std::vector<torch::Tensor> results;
  const bool is_short = rows > 0 && rows < full_batch_;
  if (is_short && fixed_batch_) {
    results = run_padded(values);
  } else {
    try {
      results = run_checked(values);
    } catch (const Error& error) {
      if (!is_short || error.cause == Cause::memory) throw;
      results = run_padded(values);
      fixed_batch_ = true;
    }
  }
  if (full_batch_ == 0) full_batch_ = rows;
  std::vector<ModelOutput> outputs;
  for (std::size_t i = 0; i < results.size(); ++i)
    outputs.push_back({paths_.size() == results.size() ? paths_[i] : std::to_string(i), results[i], {}, false});
  return outputs;
}

} // namespace mgpu::worker
