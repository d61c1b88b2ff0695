// Validation, and what outlives a training: the best network and its checkpoints.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "common/support/whole_file.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/train/probe.hpp"
#include "worker/train/trainer.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

/// The number that decides which network is the best, and whether more of it is better.
std::pair<double, bool> judged(const std::map<std::string, double>& values) {
  if (const auto found = values.find("accuracy"); found != values.end()) return {found->second, true};
  if (const auto found = values.find("cer"); found != values.end()) return {found->second, false};
  const auto found = values.find("loss");
  return {found == values.end() ? 0 : found->second, false};
}

} // namespace

/// This rank's share of the validation set. A rank of whose share nothing could be used evaluates a made-up row to learn the names of the
/// sums, and counts none.
void Trainer::evaluate_share(Sums& sums) {
  const Range mine =
      share(data_.validation.size(), static_cast<std::uint64_t>(context_.rank), static_cast<std::uint64_t>(context_.world_size));
  const auto rows = static_cast<std::uint64_t>(plan_->stages[stage_].batch_size);
  std::uint64_t next = mine.begin;
  auto prepare_row = [this](const wire::BatchRange& range, std::size_t row, Sample& sample) {
    const Item& item = range.items[row];
    prepare(wire::DataPart::validation, item, {visit_seed(settings_.seed, 0, item.index), 0.0}, sample);
  };
  const auto next_range = [&](wire::BatchRange& range) {
    for (const std::uint64_t end = std::min(next + rows, mine.end); next < end; ++next)
      range.items.push_back(data_.validation[next]);
    return !range.items.empty();
  };
  UnitFeed feed(training_, prepare_row, loader_settings(wire::DataPart::validation, static_cast<std::int64_t>(rows)), trace_,
                streams_, next_range);
  while (std::optional<Unit> unit = feed.take()) {
    report_skipped(*unit->loaded, wire::DataPart::validation);
    if (unit->batch.size() > 0) training_.evaluate(unit->batch, sums);
    feed.done(std::move(*unit));
  }
  if (!sums.means.empty()) return;
  training_.evaluate(TrialBatch(training_, data_.validation, 1, context_.device).batch, sums);
  for (auto& [name, mean] : sums.means) mean = {0, 0};
  for (auto& each : sums.classes) each = {0, 0};
}

void Trainer::validate() {
  if (data_.validation.empty()) return;
  flush_steps();
  const auto begin = Clock::now();
  equalise_buffers();
  training_.set_training(false);
  Sums sums;
  {
    const torch::NoGradGuard no_grad;
    evaluate_share(sums);
  }
  training_.set_training(true);
  sums.classes.resize(training_.labels().size());
  std::vector<double> numbers;
  for (const auto& [name, mean] : sums.means) numbers.insert(numbers.end(), {mean.first, mean.second});
  for (const auto& [right, all] : sums.classes) numbers.insert(numbers.end(), {right, all});
  exchange_->sum(numbers, "validation");

  std::map<std::string, double> values;
  wire::Metrics metrics;
  std::size_t at = 0;
  for (const auto& [name, mean] : sums.means) {
    values[name] = numbers[at] / numbers[at + 1];
    metrics.values.push_back({name, values[name]});
    at += 2;
  }
  const std::vector<std::string> labels = training_.labels();
  for (const std::string& label : labels) {
    metrics.classes.push_back({label, numbers[at] / numbers[at + 1]});
    metrics.class_items.push_back(static_cast<std::uint64_t>(numbers[at + 1]));
    at += 2;
  }
  const bool best = is_best(values);
  if (best) save();
  metrics.step = step_;
  metrics.epoch = plan_->epoch_number(step_ - 1);
  metrics.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  metrics.best = best ? 1 : 0;
  if (context_.rank == 0) reports_.metrics(metrics);
}

bool Trainer::is_best(const std::map<std::string, double>& values) {
  const auto [value, more_is_better] = judged(values);
  if (std::isnan(value)) return false; // no comparison with it holds: every later one would be the best
  if (best_ && (more_is_better ? value <= *best_ : value >= *best_)) return false;
  best_ = value;
  best_step_ = step_;
  return true;
}

/// Running statistics become the mean over the ranks: each has seen its own share of the samples.
void Trainer::equalise_buffers() {
  if (context_.world_size == 1) return;
  std::vector<torch::Tensor> buffers;
  std::int64_t count = 0;
  for (const NamedTensor& buffer : training_.buffers())
    if (buffer.tensor.is_floating_point()) {
      buffers.push_back(buffer.tensor);
      count += buffer.tensor.numel();
    }
  if (count == 0) return;
  const torch::NoGradGuard no_grad;
  torch::Tensor flat = torch::empty({count}, torch::kFloat32);
  std::int64_t at = 0;
  for (const torch::Tensor& buffer : buffers) {
    flat.narrow(0, at, buffer.numel()).copy_(buffer.reshape({-1}));
    at += buffer.numel();
  }
  exchange_->mean({flat.data_ptr<float>(), static_cast<std::size_t>(count)}, "running statistics");
  at = 0;
  for (const torch::Tensor& buffer : buffers) {
    buffer.copy_(flat.narrow(0, at, buffer.numel()).view(buffer.sizes()));
    at += buffer.numel();
  }
}

void Trainer::save() {
  if (context_.rank != 0 || settings_.save.empty()) return;
  const std::string part = settings_.save + ".tmp";
  const torch::NoGradGuard no_grad;
  training_.set_training(false);
  training_.save(part);
  training_.set_training(true);
  put_in_place(part, settings_.save);
}

// --- checkpoints -------------------------------------------------------------------------------------------------------------

std::vector<NamedTensor> Trainer::unsharded() const {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& buffer : training_.buffers()) tensors.push_back({buffer.name, buffer.tensor});
  for (const NamedTensor& parameter : in_order_)
    if (!parameter.tensor.requires_grad()) tensors.push_back(parameter);
  return tensors;
}

nlohmann::json Trainer::state() const {
  nlohmann::json json{{"step", step_},
                      {"updates", updates_},
                      {"stage", stage_},
                      {"micro_batch", micro_.rows()},
                      {"micro_patience", micro_.patience()},
                      {"micro_good_steps", micro_.good_steps()},
                      {"micro_grew", micro_.grew()},
                      {"loss_scale", loss_scale_.scale()},
                      {"loss_scale_good_steps", loss_scale_.good_steps()},
                      {"not_finite", not_finite_}};
  if (best_) {
    json["best"] = *best_;
    json["best_step"] = best_step_;
  }
  return json;
}

void Trainer::write_checkpoint() {
  if (settings_.checkpoints.empty()) return;
  flush_steps();
  const auto begin = Clock::now();
  Part part;
  part.step = step_;
  part.rank = context_.rank;
  part.world_size = context_.world_size;
  part.elements = gradients_->network().layout.elements;
  part.slices = exchange_->shard();
  std::size_t own = 0;
  for (const collective::Slice& slice : part.slices) own += slice.size();
  for (int array = -1; array < collective::states_of(settings_.hyper); ++array) {
    part.arrays.emplace_back(own);
    exchange_->read_shard(array, part.arrays.back());
  }
  const torch::NoGradGuard no_grad;
  for (const NamedTensor& each : unsharded())
    part.tensors.push_back({each.name, each.tensor.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous()});
  part.state = state();
  std::string meta = part.state.dump();
  checkpoints_.write(settings_.checkpoints, std::move(part), plan_->epoch_number(step_ - 1), std::move(meta));
  trace_.span("checkpoint", 1, step_, begin, Clock::now());
}

void Trainer::restore_from(const std::string& folder) {
  const Restored restored =
      restore(folder, context_.rank, context_.world_size, gradients_->network().layout.elements, exchange_->shard());
  const int states = collective::states_of(settings_.hyper);
  if (restored.arrays.size() != static_cast<std::size_t>(states) + 1)
    throw usage_error(fmt::format("the checkpoint {} was made with another --optimizer or --momentum", folder));
  for (int array = -1; array < states; ++array)
    exchange_->write_shard(array, restored.arrays[static_cast<std::size_t>(array + 1)]);
  std::map<std::string, torch::Tensor> by_name;
  for (const NamedTensor& each : restored.tensors) by_name[each.name] = each.tensor;
  const torch::NoGradGuard no_grad;
  for (const NamedTensor& each : unsharded()) {
    const auto found = by_name.find(each.name);
    if (found == by_name.end() || found->second.sizes() != each.tensor.sizes())
      throw usage_error(fmt::format("the checkpoint {} does not have {}", folder, each.name));
    torch::Tensor target = each.tensor.detach();
    target.copy_(found->second);
  }
  const nlohmann::json& state = restored.state;
  updates_ = state.at("updates");
  micro_.restore(state.at("micro_batch"), state.at("micro_patience"), state.at("micro_good_steps"), state.at("micro_grew"));
  loss_scale_.restore(state.at("loss_scale"), state.at("loss_scale_good_steps"));
  not_finite_ = state.at("not_finite");
  if (state.contains("best")) {
    best_ = state.at("best").get<double>();
    best_step_ = state.at("best_step");
  }
  exchange_->barrier("checkpoint restored");
}

} // namespace mgpu::worker::train
