#include "worker/train/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/support/clock.hpp"
#include "common/support/whole_file.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/buffers.hpp"
#include "worker/train/checkpoint/rank_part.hpp"
#include "worker/train/local_batch.hpp"
#include "worker/train/probe.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

} // namespace

Trainer::Trainer(const Settings& settings, const RankContext& context, Training& training, std::vector<NamedTensor> in_order,
                 const DataSets& data, DeviceStreams& streams, TraceEvents& trace, wire::ActivityTable& activity_table,
                 Reports reports, OpenExchange open_exchange)
    : settings_(settings),
      context_(context),
      training_(training),
      data_(data),
      reports_(std::move(reports)),
      faults_(settings.fault, context.rank),
      environment_{settings_, context, training, streams, trace, faults_, reports_.log},
      recorder_(settings.cuda_graph ? Recorder::open(context.device) : nullptr),
      parameters_(training, std::move(in_order)),
      feeds_(environment_, data, activity_table),
      skipped_(reports_.skipped),
      steps_(reports_.steps),
      validation_(environment_, feeds_, data, skipped_),
      progress_(context.dtype == torch::kHalf, settings.max_nonfinite),
      exchange_(std::move(open_exchange)),
      checkpoints_(reports_.saved) {}

void Trainer::run(std::int64_t batch_size, const std::string& checkpoint) {
  plan_.emplace(settings_, data_.train.size(), batch_size, context_.world_size);
  check_single_samples(training_, data_.train, *plan_, context_);
  if (context_.rank == 0) steps_.begin(plan_->steps);
  // A checkpoint at the end of a stage has the layout of that stage, which is opened once more and left at once.
  if (!checkpoint.empty()) progress_.step = restore_state(checkpoint).at("step");
  open_stage(plan_->stage_of(progress_.step > 0 ? progress_.step - 1 : 0));
  if (!checkpoint.empty()) restore_from(checkpoint);
  while (progress_.step < plan_->steps) {
    if (plan_->stage_of(progress_.step) != progress_.stage) open_stage(plan_->stage_of(progress_.step));
    const bool stopped = do_step();
    const std::uint64_t done = progress_.step - 1;
    if (plan_->due(settings_.validate_every, done) || progress_.step == plan_->steps) validate();
    if (stopped || plan_->due(settings_.checkpoint_every, done)) write_checkpoint();
    if (stopped) break;
  }
  steps_.flush();
  if (progress_.step == plan_->steps && data_.validation.empty()) {
    average_buffers(training_, *exchange_);
    save_network();
  }
  close_stage();
  checkpoints_.wait();
}

// --- stages ------------------------------------------------------------------------------------------------------------------

void Trainer::open_stage(std::size_t stage) {
  close_stage();
  progress_.stage = stage;
  const Stage& settings = settings_.stages[stage];
  const TrainableParameters::Counts counts = parameters_.begin(settings);
  if (context_.rank == 0 && counts.trained < counts.all)
    reports_.log(2, fmt::format("stage {}: {} of {} parameters are trained, the others frozen", settings.name, counts.trained,
                                counts.all));
  const std::vector<NamedTensor> trained = parameters_.trained();
  if (trained.empty())
    throw usage_error(fmt::format("stage {}: every parameter is frozen: there is nothing to train", settings.name));
  // NCCL's reduce-scatter needs equal parts.
  const int parts = settings_.shard_optimizer && context_.device.is_cuda() ? context_.world_size : 1;
  FlatNetwork network = lay_out(trained, settings_.decay_norms, static_cast<std::size_t>(parts));
  collective::Exchange& exchange = exchange_.open(network.layout, stage);
  stage_ = std::make_unique<ActiveStage>(environment_, feeds_, data_, *plan_, stage, std::move(network), exchange,
                                         recorder_.get(), progress_.step, totals_.times);
  progress_.updates = 0;
  progress_.micro_batch = MicroBatch(plan_->stages[stage].batch_size);
}

void Trainer::close_stage() {
  stage_.reset();
  exchange_.close();
}

// --- steps -------------------------------------------------------------------------------------------------------------------

/// One optimizer step over the global batch. True when a rank was told to stop.
bool Trainer::do_step() {
  const auto begin = Clock::now();
  const LocalBatch::Step step{progress_.step, plan_->samples(progress_.step), progress_.loss_scale.scale()};
  const StepSums sums = LocalBatch(environment_, *stage_, progress_.micro_batch, skipped_, totals_, step).run();
  const auto waited = Clock::now();
  const StepLosses losses = read_losses(sums, environment_.streams);
  totals_.times.backward_s += seconds(Clock::now() - waited); // on a GPU backward runs until its losses can be read
  std::vector<double> numbers = facts_of(sums, losses, stop_, context_.rank, context_.world_size);
  const collective::StepResult result = update(numbers);
  const StepFacts facts(numbers); // now the sums over all ranks

  ++progress_.step;
  if (result.updated) ++progress_.updates;
  agree_on_memory(facts);
  if (context_.rank == 0)
    steps_.add(step_record(*plan_, progress_, facts, result, sums.backwards, seconds(Clock::now() - begin)));
  watch_finite(facts, losses);
  if (facts.usable()) progress_.loss_scale.note(result.updated);
  return facts.stop();
}

/// Sums the gradients and `facts` over the ranks and updates the parameters if the sums permit it.
collective::StepResult Trainer::update(std::span<double> facts) {
  collective::StepRequest request;
  request.facts = facts;
  request.decide = [this](std::span<const double> all) {
    collective::Hyper hyper = settings_.hyper;
    hyper.lr = plan_->lr(progress_.step);
    hyper.step = progress_.updates + 1;
    return decide(StepFacts(all), plan_->samples(progress_.step), progress_.loss_scale.scale(), hyper);
  };
  request.clip_norm = settings_.clip_norm;
  request.check_finite = progress_.loss_scale.active();
  const auto begin = Clock::now();
  const collective::StepResult result = exchange_->step(request);
  totals_.times.reduce_wait_s += result.wait_s;
  totals_.times.update_s += result.update_s;
  environment_.trace.span("reduce and update", run_thread, progress_.step, begin, Clock::now());
  return result;
}

void Trainer::agree_on_memory(const StepFacts& facts) {
  MicroBatch& micro = progress_.micro_batch;
  if (facts.out_of_memory())
    micro.agree(
        static_cast<std::int64_t>(exchange_->least(static_cast<double>(micro.rows()), "micro-batch after out of memory")));
  else
    micro.note_good_step();
}

void Trainer::watch_finite(const StepFacts& facts, const StepLosses& losses) {
  if (!losses.not_finite.empty())
    reports_.log(2, fmt::format("the loss of step {} is not finite; items{}; the step changed nothing", progress_.step,
                                losses.not_finite));
  const std::optional<std::string> end = progress_.non_finite.note(facts, progress_.step);
  if (!end) return;
  exchange_->barrier("last step before the end"); // the first rank that throws ends the run
  steps_.flush();
  throw Error(*end);
}

// --- validation, saved network, checkpoints ----------------------------------------------------------------------------------

void Trainer::validate() {
  if (data_.validation.empty()) return;
  steps_.flush();
  const auto begin = Clock::now();
  average_buffers(training_, *exchange_);
  wire::Metrics metrics = validation_.run(*exchange_, plan_->stages[progress_.stage].batch_size);
  const bool best = progress_.best.note(metrics.values, progress_.step);
  if (best) save_network();
  metrics.step = progress_.step;
  metrics.epoch = plan_->epoch_number(progress_.step - 1);
  metrics.seconds = seconds(Clock::now() - begin);
  metrics.best = best ? 1 : 0;
  if (context_.rank == 0) reports_.metrics(metrics);
}

void Trainer::save_network() {
  if (context_.rank != 0 || settings_.save.empty()) return;
  const std::string part = settings_.save + ".tmp";
  const torch::NoGradGuard no_grad;
  training_.set_training(false);
  training_.save(part);
  training_.set_training(true);
  put_in_place(part, settings_.save);
}

void Trainer::write_checkpoint() {
  if (settings_.checkpoints.empty()) return;
  steps_.flush();
  const auto begin = Clock::now();
  Part part = collect_part(context_, *exchange_, stage_->gradients().network().layout.elements,
                           collective::states_of(settings_.hyper), unsharded());
  part.step = progress_.step;
  part.state = progress_.to_json();
  std::string meta = part.state.dump();
  checkpoints_.write(settings_.checkpoints, std::move(part), plan_->epoch_number(progress_.step - 1), std::move(meta));
  environment_.trace.span("checkpoint", run_thread, progress_.step, begin, Clock::now());
}

void Trainer::restore_from(const std::string& folder) {
  const Restored restored =
      restore(folder, context_.rank, context_.world_size, stage_->gradients().network().layout.elements, exchange_->shard());
  put_back(restored, folder, *exchange_, collective::states_of(settings_.hyper), unsharded());
  progress_.restore(restored.state);
  exchange_->barrier("checkpoint restored");
}

/// Tensors of which every rank has a full copy.
std::vector<NamedTensor> Trainer::unsharded() const {
  std::vector<NamedTensor> tensors = training_.buffers();
  for (NamedTensor& parameter : parameters_.untrained()) tensors.push_back(std::move(parameter));
  return tensors;
}

} // namespace mgpu::worker::train
