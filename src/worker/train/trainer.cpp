#include "worker/train/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "worker/train/probe.hpp"

namespace mgpu::worker::train {

Trainer::Trainer(const Settings& settings, const RankContext& context, Training& training, std::vector<NamedTensor> in_order,
                 const DataSets& data, DeviceStreams& streams, TraceEvents& trace, wire::ActivityTable& activity_table,
                 Reports reports, OpenExchange open_exchange)
    : settings_(settings),
      context_(context),
      training_(training),
      in_order_(std::move(in_order)),
      data_(data),
      streams_(streams),
      trace_(trace),
      activity_table_(activity_table),
      reports_(std::move(reports)),
      open_exchange_(std::move(open_exchange)),
      loss_scale_(context.dtype == torch::kFloat16),
      faults_(settings.fault, context.rank),
      recorder_(settings.cuda_graph ? Recorder::open(context.device) : nullptr),
      checkpoints_(reports_.saved) {
  for (const NamedTensor& parameter : in_order_)
    if (!parameter.tensor.requires_grad()) frozen_in_file_.insert(parameter.name);
}

Trainer::~Trainer() = default;

void Trainer::run(std::int64_t batch_size, const std::string& checkpoint) {
  plan_.emplace(settings_, data_.train.size(), batch_size, context_.world_size);
  check_single_samples();
  sent_ = std::chrono::steady_clock::now();
  if (context_.rank == 0) reports_.steps(wire::Steps{plan_->steps, {}}); // how many there will be, even if none is left to do
  // A checkpoint at the end of a stage has that stage's layout: it is opened once more and left at once.
  if (!checkpoint.empty()) step_ = restore_state(checkpoint).at("step");
  open_stage(plan_->stage_of(step_ > 0 ? step_ - 1 : 0));
  if (!checkpoint.empty()) restore_from(checkpoint);
  while (step_ < plan_->steps) {
    if (plan_->stage_of(step_) != stage_) open_stage(plan_->stage_of(step_));
    const bool stopped = do_step();
    const std::uint64_t done = step_ - 1;
    if (plan_->due(settings_.validate_every, done) || step_ == plan_->steps) validate();
    if (stopped || plan_->due(settings_.checkpoint_every, done)) write_checkpoint();
    if (stopped) break;
  }
  flush_steps();
  if (step_ == plan_->steps && data_.validation.empty()) {
    equalise_buffers();
    save();
  }
  close_stage();
  checkpoints_.wait();
}

void Trainer::abort(const std::string& reason) {
  const std::lock_guard lock(exchange_mutex_);
  abort_reason_ = reason;
  if (exchange_ != nullptr) exchange_->abort(reason);
}

/// Batch norm needs two samples. Said before any work, not at the end of the first epoch.
void Trainer::check_single_samples() {
  const auto step = plan_->step_with_single_sample(context_.world_size);
  if (!step) return;
  try {
    probe(training_, TrialBatch(training_, data_.train, 1, context_.device).batch, context_);
  } catch (const Error& error) {
    const StagePlan& plan = plan_->stages[plan_->stage_of(*step)];
    throw usage_error(fmt::format(
        "step {} of each epoch leaves a rank a single sample ({} items, global batch {}, {} rank(s), batches of {}), and this "
        "network cannot be trained on one: {}. Choose another --batch-size or --global-batch, or leave an item out",
        plan_->step_in_epoch(*step) + 1, plan.items, plan.global_batch, context_.world_size, plan.batch_size, error.what()));
  }
}

// --- stages ------------------------------------------------------------------------------------------------------------------

void Trainer::set_trainable(std::size_t stage) {
  std::vector<std::string> names; // in the network's order, which says what its last layers are; in_order_ is backward's
  for (const NamedTensor& parameter : training_.parameters()) names.push_back(parameter.name);
  const std::vector<bool> still = frozen(settings_.stages[stage], names);
  std::int64_t trained = 0, all = 0;
  for (const NamedTensor& parameter : in_order_) {
    const auto at = std::find(names.begin(), names.end(), parameter.name) - names.begin();
    const bool trains = !still[static_cast<std::size_t>(at)] && !frozen_in_file_.contains(parameter.name);
    parameter.tensor.requires_grad_(trains);
    all += parameter.tensor.numel();
    if (trains) trained += parameter.tensor.numel();
  }
  training_.set_training(false); // what is frozen is looked at when training mode begins
  training_.set_training(true);
  if (context_.rank == 0 && trained < all)
    reports_.log(2, fmt::format("stage {}: {} of {} parameters are trained, the others frozen", settings_.stages[stage].name,
                                trained, all));
}

void Trainer::open_stage(std::size_t stage) {
  close_stage();
  stage_ = stage;
  set_trainable(stage);
  std::vector<NamedTensor> trained;
  for (const NamedTensor& parameter : in_order_)
    if (parameter.tensor.requires_grad()) trained.push_back(parameter);
  if (trained.empty())
    throw usage_error(
        fmt::format("stage {}: every parameter is frozen: there is nothing to train", settings_.stages[stage].name));
  // NCCL's reduce-scatter wants equal parts.
  const int parts = settings_.shard_optimizer && context_.device.is_cuda() ? context_.world_size : 1;
  FlatNetwork network = lay_out(trained, settings_.decay_norms, static_cast<std::size_t>(parts));
  auto exchange = open_exchange_(network.layout, stage);
  {
    const std::lock_guard lock(exchange_mutex_);
    if (!abort_reason_.empty()) throw Error(abort_reason_);
    exchange_ = std::move(exchange);
  }
  gradients_ = std::make_unique<Gradients>(std::move(network), *exchange_, context_.device);
  if (recorder_ != nullptr) graphs_ = std::make_unique<StepGraphs>(*recorder_, training_, *gradients_, *exchange_, context_);
  exchange_->broadcast_parameters();
  updates_ = 0;
  const StagePlan& plan = plan_->stages[stage];
  micro_ = MicroBatch(plan.batch_size);
  sampler_.emplace(data_.train.size(), settings_.seed, settings_.shuffle, settings_.stages[stage].subset);
  next_step_ = std::max(step_, plan.first_step);
  next_unit_ = 0;
}

void Trainer::close_stage() {
  feed_.reset();
  graphs_.reset();
  gradients_.reset();
  const std::lock_guard lock(exchange_mutex_);
  exchange_.reset();
}

// --- loading -----------------------------------------------------------------------------------------------------------------

/// Throws the reason why the item cannot be used.
void Trainer::prepare(wire::DataPart part, const Item& item, const Variation& variation, Sample& sample) const {
  if (const auto found = data_.given_up.find({part, item.index}); found != data_.given_up.end()) throw Error(found->second);
  if (part == wire::DataPart::train) faults_.before_item(item.index, settings_.attempt);
  training_.prepare(item, variation, sample);
}

Prefetcher::Settings Trainer::loader_settings(wire::DataPart part, std::int64_t batch_size) const {
  Prefetcher::Settings settings;
  settings.activity_table = &activity_table_;
  settings.doing = part == wire::DataPart::train ? wire::Doing::preparing : wire::Doing::preparing_validation;
  settings.threads = context_.loaders;
  settings.batch_size = batch_size;
  settings.buffers = 2 + static_cast<std::size_t>((context_.loaders + batch_size - 1) / batch_size);
  settings.row_spec = training_.row_spec();
  settings.inference = false;
  settings.allocate = [this](at::IntArrayRef shape, torch::ScalarType type) { return streams_.host_tensor(shape, type); };
  return settings;
}

/// The next rows of this rank: shares of steps, cut into units of a batch.
bool Trainer::next_unit(wire::BatchRange& range) {
  const StagePlan& plan = plan_->stages[stage_];
  const std::uint64_t end = std::min(plan.first_step + plan.steps, plan_->steps);
  const auto unit = static_cast<std::uint64_t>(plan.batch_size);
  for (; next_step_ < end; ++next_step_, next_unit_ = 0) {
    const Range mine = share(plan_->samples(next_step_), static_cast<std::uint64_t>(context_.rank),
                             static_cast<std::uint64_t>(context_.world_size));
    const std::uint64_t begin = next_unit_ * unit;
    if (begin >= mine.size()) continue;
    const std::uint64_t position = plan_->step_in_epoch(next_step_) * static_cast<std::uint64_t>(plan.global_batch) + mine.begin;
    range.epoch = plan_->epoch_number(next_step_) - 1;
    range.batch = next_step_;
    for (std::uint64_t row = begin; row < std::min(begin + unit, mine.size()); ++row)
      range.items.push_back(data_.train[sampler_->order(range.epoch, position + row)]);
    ++next_unit_;
    return true;
  }
  return false;
}

void Trainer::report_skipped(const LoadedBatch& loaded, wire::DataPart part) {
  wire::Skipped skipped;
  for (std::size_t row = 0; row < loaded.rows(); ++row) {
    if (loaded.ok(row)) continue;
    const std::uint64_t index = loaded.range.items[row].index;
    if (reported_.insert({static_cast<std::uint8_t>(part), index}).second)
      skipped.items.push_back({index, static_cast<std::uint8_t>(part), loaded.errors[row]});
  }
  if (!skipped.items.empty()) reports_.skipped(skipped);
}

} // namespace mgpu::worker::train
