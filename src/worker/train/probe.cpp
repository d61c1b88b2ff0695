#include "worker/train/probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/forward.hpp"
#include "worker/train/gradients.hpp"
#include "worker/train/step_graphs.hpp"
#include "worker/train/unit_feed.hpp"

namespace mgpu::worker::train {

namespace {

/// Restores running statistics, which must not include a trial batch.
class KeepBuffers {
 public:
  explicit KeepBuffers(Training& training) {
    for (const NamedTensor& buffer : training.buffers()) kept_.emplace_back(buffer.tensor, buffer.tensor.clone());
  }
  ~KeepBuffers() {
    const torch::NoGradGuard no_grad;
    for (auto& [buffer, value] : kept_) buffer.copy_(value);
  }
  KeepBuffers(const KeepBuffers&) = delete;
  KeepBuffers& operator=(const KeepBuffers&) = delete;

 private:
  std::vector<std::pair<torch::Tensor, torch::Tensor>> kept_;
};

void check_parameters(const std::vector<NamedTensor>& parameters) {
  if (parameters.empty()) throw usage_error("the network has no parameters: there is nothing to train");
  for (const NamedTensor& parameter : parameters)
    if (parameter.tensor.scalar_type() != torch::kFloat)
      throw usage_error(fmt::format("parameter {} is {}: parameters are trained in float32 (--dtype says how they compute)",
                                    parameter.name, c10::toString(parameter.tensor.scalar_type())));
  if (std::none_of(parameters.begin(), parameters.end(), [](const NamedTensor& each) { return each.tensor.requires_grad(); }))
    throw usage_error(
        "every parameter of the network is frozen (requires_grad is false): set it in Python for those to be trained");
}

} // namespace

TrialBatch::TrialBatch(const Training& training, const std::vector<Item>& items, std::int64_t rows, torch::Device device) {
  torch::Tensor row;
  if (const auto spec = training.row_spec())
    row = torch::zeros(spec->shape, spec->type);
  else
    row = training.trial_row(0);
  auto shape = row.sizes().vec();
  shape.insert(shape.begin(), rows);
  batch.input = row.unsqueeze(0).expand(shape).contiguous();
  if (!training.row_spec()) batch.lengths = batch.host_lengths = torch::full({rows}, row.size(-1), torch::kLong);
  static const std::any none;
  for (std::int64_t index = 0; index < rows; ++index) {
    batch.items.push_back(&items[static_cast<std::size_t>(index) % items.size()]);
    batch.extra.push_back(&none);
    batch.ok.push_back(true);
  }
  batch.targets = batch.host_targets = targets_of(training, batch);
  batch.input = batch.input.to(device);
  if (batch.lengths.defined()) batch.lengths = batch.lengths.to(device);
  for (torch::Tensor& target : batch.targets) target = target.to(device);
}

Probe probe(Training& training, const Batch& batch, const RankContext& context) {
  const std::vector<NamedTensor> parameters = training.parameters();
  check_parameters(parameters);
  const KeepBuffers keep(training);
  std::vector<std::size_t> order;
  std::vector<bool> seen(parameters.size(), false);
  {
    const BackwardWatch watch(parameters, [&](std::size_t index) {
      order.push_back(index);
      seen[index] = true;
      parameters[index].tensor.mutable_grad() = torch::Tensor();
    });
    training.set_training(true);
    try {
      const torch::Tensor loss = forward_loss(training, batch, context);
      if (loss.dim() != 0) throw usage_error(fmt::format("the loss is not one number but [{}]", fmt::join(loss.sizes(), ", ")));
      if (!loss.requires_grad()) throw usage_error("the loss does not depend on any parameter of the network");
      loss.backward();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      if (is_out_of_memory(error)) throw;
      throw usage_error(fmt::format("a trial step of {} rows failed: {}", batch.size(), reason_of(error)));
    }
  }
  Probe probe;
  for (const std::size_t index : order) probe.in_order.push_back(parameters[index]);
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    if (seen[index]) continue;
    probe.in_order.push_back(parameters[index]);
    if (!parameters[index].tensor.requires_grad()) continue; // frozen in the file
    probe.unused.push_back(parameters[index].name);
  }
  return probe;
}

void check_single_samples(Training& training, const std::vector<Item>& items, const Plan& plan, const RankContext& context) {
  const auto step = plan.step_with_single_sample(context.world_size);
  if (!step) return;
  try {
    probe(training, TrialBatch(training, items, 1, context.device).batch, context);
  } catch (const Error& error) {
    const StagePlan& stage = plan.stages[plan.stage_of(*step)];
    throw usage_error(fmt::format(
        "step {} of each epoch leaves a rank a single sample ({} items, global batch {}, {} rank(s), batches of {}), and this "
        "network cannot be trained on one: {}. Choose another --batch-size or --global-batch, or leave an item out",
        plan.step_in_epoch(*step) + 1, stage.items, stage.global_batch, context.world_size, stage.batch_size, error.what()));
  }
}

void check_recording(Training& training, const Batch& batch, Recorder& recorder, const RankContext& context) {
  const std::vector<NamedTensor> parameters = training.parameters();
  const KeepBuffers keep(training);
  const BackwardWatch watch(parameters, [&](std::size_t index) { parameters[index].tensor.mutable_grad() = torch::Tensor(); });
  const Batch fixed = device_only(batch);
  const auto pass = [&] { forward_loss(training, fixed, context).backward(); };
  try {
    recorder.warm_up(pass);
    recorder.record(pass)->replay([](std::size_t) {});
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) throw;
    throw usage_error(
        fmt::format("--cuda-graph: this network or its loss cannot be recorded (it must not wait for the GPU, copy from "
                    "the host or read items): {}",
                    reason_of(error)));
  }
}

std::int64_t largest_batch(Training& training, const std::vector<Item>& items, std::int64_t most, const RankContext& context,
                           std::int64_t kept_bytes, const std::function<void(std::int64_t)>& before,
                           const std::function<void()>& free_cache) {
  torch::Tensor kept;
  std::int64_t fits = 0;
  for (std::int64_t rows = 2; rows <= most; rows *= 2) {
    try {
      before(rows);
      if (!kept.defined()) kept = torch::empty({kept_bytes}, torch::TensorOptions(context.device).dtype(torch::kByte));
      probe(training, TrialBatch(training, items, rows, context.device).batch, context);
      fits = rows;
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      free_cache();
      break;
    }
  }
  if (fits == 0) throw usage_error("not even 2 rows fit into this device's memory, beside gradients and the optimizer's states");
  return fits;
}

} // namespace mgpu::worker::train
