#include "worker/train/step_graphs.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/forward.hpp"
#include "worker/train/probe.hpp"

namespace mgpu::worker::train {

namespace {

bool same_shape(const torch::Tensor& a, const torch::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type();
}

bool same_shape(const Batch& a, const Batch& b) {
  return same_shape(a.input, b.input) && std::equal(a.targets.begin(), a.targets.end(), b.targets.begin(), b.targets.end(),
                                                    [](const auto& x, const auto& y) { return same_shape(x, y); });
}

} // namespace

Batch device_only(const Batch& rows) {
  static const Item nothing;
  static const std::any no_extra;
  Batch fixed = rows;
  fixed.items.assign(rows.items.size(), &nothing);
  fixed.extra.assign(rows.items.size(), &no_extra);
  fixed.host_lengths = torch::Tensor();
  fixed.host_targets.clear();
  return fixed;
}

StepGraphs::StepGraphs(Recorder& recorder, Training& training, Gradients& gradients, collective::Exchange& exchange,
                       const RankContext& context)
    : recorder_(recorder), training_(training), gradients_(gradients), exchange_(exchange), context_(context) {}

std::optional<torch::Tensor> StepGraphs::run(const Batch& rows, double weight, bool last) {
  const Gradients::Written before = gradients_.written();
  // Some places would have to be written, others added to: only the hooks of a pass that is not recorded can do that.
  if (before == Gradients::Written::some) return std::nullopt;
  Shape* shape = place(rows, weight);
  if (shape == nullptr) return std::nullopt;
  Recorded& recorded = shape->recorded[before == Gradients::Written::all ? 1 : 0][last ? 1 : 0];
  if (recorded.recording == nullptr && shape->passes < passes_before) {
    ++shape->passes;
    gradients_.begin_backward(last);
    recorder_.warm_up([&] { compute(*shape); });
    return shape->loss.clone();
  }
  if (recorded.recording == nullptr) record(*shape, before, last, recorded);
  recorded.recording->replay([this](std::size_t bucket) { exchange_.ready(bucket); });
  // The hooks were called during the recording, or by the first replay.
  if (recorded.wrote.empty()) recorded.wrote = gradients_.finished();
  gradients_.end_replay(last, recorded.wrote);
  return shape->loss.clone();
}

std::size_t StepGraphs::recorded() const {
  std::size_t count = 0;
  for (const auto& [rows, shape] : shapes_)
    for (const auto& later : shape.recorded)
      for (const Recorded& each : later) count += each.recording != nullptr ? 1 : 0;
  return count;
}

/// Copies rows and weight into the fixed memory of their shape; nullptr if there is none.
StepGraphs::Shape* StepGraphs::place(const Batch& rows, double weight) {
  const torch::NoGradGuard no_grad;
  auto found = shapes_.find(rows.size());
  if (found == shapes_.end()) {
    if (shapes_.size() >= most_shapes) return nullptr;
    Shape shape;
    shape.batch = device_only(rows);
    shape.batch.input = torch::empty_like(rows.input);
    for (torch::Tensor& target : shape.batch.targets) target = torch::empty_like(target);
    const auto number = torch::dtype(torch::kFloat).device(rows.input.device());
    shape.weight = torch::empty({}, number);
    shape.loss = torch::empty({}, number);
    found = shapes_.emplace(rows.size(), std::move(shape)).first;
  }
  Shape& shape = found->second;
  if (!same_shape(shape.batch, rows)) return nullptr;
  shape.batch.input.copy_(rows.input);
  for (std::size_t at = 0; at < rows.targets.size(); ++at) shape.batch.targets[at].copy_(rows.targets[at]);
  shape.weight.fill_(weight);
  return &shape;
}

/// The pass. It must not depend on the step: it runs once and is then replayed.
void StepGraphs::compute(Shape& shape) {
  const torch::Tensor loss = forward_loss(training_, shape.batch, context_);
  loss.backward(shape.weight.to(loss.scalar_type()));
  const torch::NoGradGuard no_grad;
  shape.loss.copy_(loss);
}

void StepGraphs::record(Shape& shape, Gradients::Written before, bool last, Recorded& recorded) {
  try {
    // Buckets become final in order, so a pass has one milestone per bucket.
    recorded.recording = recorder_.record([this, &shape, last] {
      gradients_.begin_recorded(last, [this](std::size_t) { recorder_.milestone(); });
      compute(shape);
    });
  } catch (const std::exception& error) {
    gradients_.forget_pass(before);
    if (is_out_of_memory(error)) throw;
    throw Error(fmt::format("--cuda-graph: a pass of {} rows could not be recorded: {}", shape.batch.size(), reason_of(error)));
  }
}

} // namespace mgpu::worker::train
