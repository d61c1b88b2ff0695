#include "worker/train/train_session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/support/clock.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/device/devices.hpp"
#include "worker/run/setup.hpp"
#include "worker/train/exchanges.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t most_rows_tried = 4096; ///< by --batch-size auto

} // namespace

TrainSession::TrainSession(SessionParts parts, MakeTraining make_training)
    : configure_(std::move(parts.configure)),
      make_training_(std::move(make_training)),
      channel_(parts.channel),
      activity_table_(parts.activity_table),
      ended_(std::move(parts.ended)),
      reducers_(parts.channel),
      trace_(configure_.trace != 0, configure_.rank,
             [this](std::string_view piece) { channel_.send(wire::Type::trace, std::as_bytes(std::span(piece))); }) {
  use_cores(configure_.cores); // before any thread starts: threads inherit it
  thread_ = std::thread([this] { thread_main(); });
}

TrainSession::~TrainSession() {
  on_halt({1, "the agent is gone"});
  thread_.join();
}

// --- the caller's thread -----------------------------------------------------------------------------------------------------

void TrainSession::handle(wire::Type type, wire::View payload) {
  switch (type) {
    case wire::Type::items:
      return on_items(wire::decode<wire::Items>(payload));
    case wire::Type::connect: {
      const std::lock_guard lock(mutex_);
      connect_ = wire::decode<wire::Connect>(payload);
      changed_.notify_all();
      return;
    }
    case wire::Type::reduced:
      return reducers_.on_reduced(payload);
    case wire::Type::halt:
      return on_halt(wire::decode<wire::Halt>(payload));
    default:
      throw Error(
          fmt::format("a training worker got a message of type {}, which is not for it", static_cast<std::uint32_t>(type)));
  }
}

void TrainSession::on_items(wire::Items items) {
  const std::lock_guard lock(mutex_);
  const std::size_t part = items.part == static_cast<std::uint8_t>(wire::DataPart::train) ? 0 : 1;
  for (wire::SkippedItem& item : items.given_up)
    data_.given_up[{static_cast<wire::DataPart>(items.part), item.index}] = std::move(item.reason);
  std::vector<Item>& set = part == 0 ? data_.train : data_.validation;
  set.reserve(items.total);
  std::move(items.items.begin(), items.items.end(), std::back_inserter(set));
  complete_[part] = set.size() >= items.total;
  changed_.notify_all();
}

void TrainSession::on_halt(const wire::Halt& halt) {
  const std::lock_guard lock(mutex_);
  if (halt.now != 0) {
    given_up_ = halt.reason;
    if (trainer_ != nullptr) trainer_->abort(halt.reason);
  } else {
    stop_ = true;
    if (trainer_ != nullptr) trainer_->stop();
  }
  changed_.notify_all();
}

void TrainSession::finish() {
  const std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

// --- the run thread ----------------------------------------------------------------------------------------------------------

template <typename Ready>
void TrainSession::wait_for(const Ready& ready) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready() || given_up_.has_value(); });
  if (given_up_) throw Error(*given_up_);
}

void TrainSession::thread_main() {
  try {
    wait_for([this] { return complete_[0] && complete_[1]; });
    open();
    wait_for([this] { return connect_.has_value() || finished_; });
    if (connect_) {
      {
        const std::lock_guard lock(mutex_);
        settings_.attempt = connect_->attempt;
        trainer_ =
            std::make_unique<Trainer>(settings_, context_, *training_, in_order_, data_, *streams_, trace_, activity_table_,
                                      reports(), exchange_maker(*connect_, context_, settings_, reducers_));
        if (stop_) trainer_->stop();
        if (given_up_) trainer_->abort(*given_up_);
      }
      const auto begin = Clock::now();
      trainer_->run(connect_->batch_size, connect_->checkpoint);
      wall_s_ = seconds(Clock::now() - begin);
    }
    wait_for([this] { return finished_; });
    trace_.flush();
    for (const std::string& remark : training_->remarks()) channel_.send(wire::Type::log, wire::Log{2, remark});
    send_stats();
    exit_code_ = 0;
  } catch (const std::exception& error) {
    exit_code_ = tell_failure(channel_, error);
  }
  ended_();
}

void TrainSession::open() {
  const auto begin = Clock::now();
  context_ = make_context(configure_, channel_);
  trace_.name_thread(1, "run");
  set_math(context_);
  settings_ = Settings::read(context_.config);
  if (settings_.compress && context_.device.is_cpu() && context_.rank == 0)
    channel_.send(wire::Type::log,
                  wire::Log{2, "--gradient-compression is for GPUs: ranks on CPUs read each other's gradients in memory"});
  streams_ = DeviceStreams::open(context_.device);
  training_ = make_training_(configure_.job);
  training_->open(context_);
  check_cuda_graph();
  context_.progress("trial step", 0.9);
  if (data_.train.empty()) throw usage_error("the training set is empty");

  Faults faults(settings_.fault, context_.rank);
  std::int64_t rows = context_.batch_size;
  const bool find_batch =
      context_.config.get<std::string>("batch-size") == "auto" && (context_.device.is_cuda() || faults.any("oom"));
  if (find_batch)
    rows = largest_batch(
        *training_, data_.train, most_rows_tried, context_, kept_by_steps(),
        [&](std::int64_t tried) { faults.before_rows_of_step(0, tried); }, [this] { streams_->free_cache(); });
  const std::int64_t trial_rows = std::min<std::int64_t>(std::max<std::int64_t>(rows, 2), 16);
  const TrialBatch trial(*training_, data_.train, trial_rows, context_.device);
  const Probe seen = probe(*training_, trial.batch, context_);
  if (!seen.unused.empty() && !settings_.find_unused)
    throw usage_error(
        fmt::format("parameter {} takes no part in the loss ({} such in all); if that is meant, give --find-unused-parameters",
                    seen.unused.front(), seen.unused.size()));
  if (settings_.cuda_graph) check_recording(*training_, trial.batch, *Recorder::open(context_.device), context_);
  in_order_ = seen.in_order;
  trace_.span("open", 1, 0, begin, Clock::now());
  announce(seconds(Clock::now() - begin), seen, rows);
}

/// Size of the gradients and optimizer states of all trained parameters, bytes.
std::int64_t TrainSession::kept_by_steps() const {
  std::int64_t parameters = 0;
  for (const NamedTensor& each : training_->parameters())
    if (each.tensor.requires_grad()) parameters += each.tensor.numel();
  return parameters * static_cast<std::int64_t>(sizeof(float)) * (1 + collective::states_of(settings_.hyper));
}

/// Checks --cuda-graph before anything runs.
void TrainSession::check_cuda_graph() const {
  if (!settings_.cuda_graph) return;
  if (!context_.device.is_cuda()) throw usage_error("--cuda-graph: this rank has no GPU; train without it");
  if (!training_->row_spec())
    throw usage_error(
        "--cuda-graph: rows of different lengths cannot be recorded; give the bundle's audio its \"seconds\", or train without "
        "it");
}

void TrainSession::announce(double seconds, const Probe& probe, std::int64_t batch_size) {
  wire::Opened opened;
  opened.seconds = seconds;
  opened.memory_bytes = resident_bytes();
  tell_device(context_.device, opened);
  opened.labels = training_->labels();
  for (const NamedTensor& parameter : probe.in_order)
    opened.trainable.parameters += static_cast<std::uint64_t>(parameter.tensor.numel());
  opened.trainable.signature = signature_of(probe.in_order);
  opened.trainable.batch_size = batch_size;
  opened.trainable.nccl_id = meeting_points(context_, settings_.stages.size());
  channel_.send(wire::Type::opened, opened);
}

Reports TrainSession::reports() {
  Reports reports;
  reports.steps = [this](const wire::Steps& steps) { channel_.send(wire::Type::steps, steps); };
  reports.metrics = [this](const wire::Metrics& metrics) { channel_.send(wire::Type::metrics, metrics); };
  reports.skipped = [this](const wire::Skipped& skipped) { channel_.send(wire::Type::skipped, skipped); };
  reports.saved = [this](const wire::Saved& saved) { channel_.send(wire::Type::saved, saved); };
  reports.log = [this](std::uint8_t level, const std::string& text) { channel_.send(wire::Type::log, wire::Log{level, text}); };
  return reports;
}

void TrainSession::send_stats() {
  wire::Stats stats;
  stats.memory_bytes = peak_resident_bytes();
  stats.wall_s = wall_s_;
  if (trainer_ != nullptr) {
    const Totals& totals = trainer_->totals();
    const TimeSplit& times = totals.times;
    stats.items = totals.samples;
    stats.failed = totals.skipped;
    stats.batches = totals.units;
    stats.busy_s = times.forward_s + times.backward_s + times.update_s;
    stats.load_wait_s = times.load_wait_s;
    stats.load_s = times.load_s;
    stats.forward_s = times.forward_s;
    stats.backward_s = times.backward_s;
    stats.reduce_wait_s = times.reduce_wait_s;
    stats.update_s = times.update_s;
  }
  channel_.send(wire::Type::stats, stats);
}

} // namespace mgpu::worker::train
