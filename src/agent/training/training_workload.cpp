#include "agent/training/training_workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/coordinator/batches_in_flight.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/setup/run_identity.hpp"
#include "agent/training/training_connect.hpp"
#include "agent/training/training_report.hpp"
#include "agent/training/training_result.hpp"
#include "common/support/clock.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

using wire::Type;

namespace {

template <typename Message>
void send_all(RunControl& control, Type type, const Message& message) {
  wire::Buffer bytes;
  wire::encode(message, bytes);
  control.post_all(type, wire::View(bytes));
}

} // namespace

TrainingWorkload::TrainingWorkload(RunControl& control)
    : control_(control),
      setup_(control.setup()),
      training_(*setup_.training),
      config_(setup_.config),
      output_(setup_),
      pieces_(control),
      begin_(training_.begin),
      fresh_(static_cast<std::size_t>(control.rank_table().size()), true),
      began_s_(control.now_s()),
      records_(setup_, config_.get<std::size_t>("keep-checkpoints")),
      failures_(control) {
  number_ranks();
}

void TrainingWorkload::plan(const std::vector<comm::Binding>& bindings) {
  bindings_ = bindings;
  plan_ = plan_training(setup_, control_.rank_table().size(), bindings[0].device >= 0, config_);
  progress_.set_epochs(plan_.epochs);
  print_training_plan(setup_, plan_, config_, control_.rank_table(), bindings_);
}

void TrainingWorkload::start() {
  if (begin_) open_records(); // else when the network is open: until then the files of an earlier training are kept
  make_pieces();
  output_.start(control_.rank_table().size(), identity_of(setup_), false);
}

/// Opens the curves and checkpoints up to the starting point.
void TrainingWorkload::open_records() {
  if (begin_) UnusableItems::add(begin_->json, "given_up", unusable_.given_up);
  records_.open(begin_, ranks_);
  if (begin_ && begin_->step > 0) UnusableItems::add(begin_->json, "skipped", unusable_.skipped);
}

void TrainingWorkload::make_pieces() {
  std::uint64_t held_out = training_.validation ? training_.validation->manifest.size() : 0;
  if (config_.get<bool>("quick-test"))
    held_out = std::min<std::uint64_t>(held_out, plan_.steps_an_epoch * static_cast<std::uint64_t>(plan_.global_batch));
  pieces_.make(held_out, unusable_);
}

void TrainingWorkload::describe(int rank, wire::Configure& configure) const {
  configure.config_json = config_.json().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  configure.batch_size = plan_.batch_size;
  configure.rank = number_[static_cast<std::size_t>(rank)];
  configure.world_size = ranks_;
  constexpr std::int32_t ahead = 2; // one is computed, one is waiting
  configure.batches_in_flight = batches_in_flight(ahead, bindings_[static_cast<std::size_t>(rank)], plan_.batch_size);
}

wire::Supervise TrainingWorkload::supervise() const {
  wire::Supervise supervise;
  supervise.stall_timeout_s = setup_.stall_timeout_s;
  supervise.item_timeout_s = std::max(setup_.item_timeout_s, 0.0); // auto: no limit, as --reduce-timeout ends a rank that waits
  supervise.batch_size = plan_.batch_size;
  // Ranks that wait for a dead rank end as well: rank 0 decides which one is to blame, and counts.
  supervise.restarts = setup_.max_restarts > 0 ? 1 : 0;
  return supervise;
}

void TrainingWorkload::configured(int rank) {
  fresh_[static_cast<std::size_t>(rank)] = true;
  pieces_.begin(rank);
}

void TrainingWorkload::opened(int /*rank*/, bool /*again*/) {
  for (int rank = 0; rank < control_.rank_table().size(); ++rank)
    if (number_[static_cast<std::size_t>(rank)] >= 0 &&
        (!fresh_[static_cast<std::size_t>(rank)] || !control_.rank_table().at(rank).opened))
      return;
  if (!connected_ && failures_.empty()) connect();
}

void TrainingWorkload::connect() {
  Connection connection = connect_ranks(control_.rank_table(), number_);
  wire::Connect& message = connection.message;
  trainable_ = connection.trainable;
  if (begin_)
    if (const auto was = begin_->json.value("signature", trainable_.signature); was != trainable_.signature)
      throw usage_error(
          fmt::format("--resume: checkpoint {} is of another network than --model {}", show_path(begin_->folder), setup_.model));
  if (!records_.is_open()) open_records();
  if (plan_.batch_found && connected_s_ == 0) {
    if (connection.fits > 0) plan_ = with_batch(plan_, setup_, ranks_, connection.fits, config_);
    control_.say(fmt::format("--batch-size auto: {} a rank, global batch {}, {} steps an epoch, learning rate × {:.6g}",
                             plan_.batch_size, plan_.global_batch, plan_.steps_an_epoch, plan_.lr_factor));
  }
  message.timeout_s = setup_.config.get<double>("reduce-timeout");
  message.batch_size = plan_.batch_size;
  message.attempt = attempt_;
  if (begin_) {
    message.first_validation = begin_->json.value("validations", std::uint64_t{0});
    message.checkpoint = begin_->folder;
  }
  send_all(control_, Type::connect, message);
  pieces_.clear();
  connected_ = true;
  heard_s_ = control_.now_s();
  if (connected_s_ == 0) connected_s_ = heard_s_;
}

void TrainingWorkload::halt(bool now, const std::string& reason) {
  send_all(control_, Type::halt, wire::Halt{static_cast<std::uint8_t>(now ? 1 : 0), reason});
}

void TrainingWorkload::stop(const std::string& reason, double /*now*/, double /*grace_s*/) {
  if (!stop_reason_.empty() || !error_.empty()) return;
  stop_reason_ = reason;
  halt(false, reason);
  control_.say(fmt::format("stopping: {} received; the step under way is finished and a checkpoint written", reason));
}

void TrainingWorkload::fail(const std::string& reason, ExitCode code) {
  if (!error_.empty()) return;
  error_ = reason;
  error_code_ = code;
  halt(true, reason);
}

bool TrainingWorkload::step(double now) {
  output_.check();
  heard_s_ += suspension_.seconds(now);
  pieces_.hand_out(fresh_);
  if (!failures_.empty() && stop_reason_.empty()) take_failures(now);
  // Between two reports is at most a validation; a training that is silent for longer will not end.
  const double silent_limit_s = std::max(3600.0, 10 * config_.get<double>("reduce-timeout"));
  if (connected_ && now - heard_s_ > silent_limit_s)
    fail(fmt::format("nothing heard of the training for {}", human_duration(now - heard_s_)), ExitCode::failed);
  if (!error_.empty()) return true;
  if (!stop_reason_.empty()) return true;
  return connected_ && failures_.empty() && progress_.total() > 0 && last_step() >= progress_.total();
}

double TrainingWorkload::drain_limit_s() const {
  constexpr double last_words_s = 5, checkpoint_s = 120;
  if (!failures_.empty() || !error_.empty()) return last_words_s;
  // The last step is followed by a validation and a checkpoint.
  return stop_reason_.empty() ? std::max(3600.0, 10 * config_.get<double>("reduce-timeout")) : checkpoint_s;
}

void TrainingWorkload::show(Progress& progress, double now) const {
  if (!progress.due(now)) return;
  const auto& last = progress_.last();
  progress.show(last ? last->step : 0, progress_.total(), last ? progress_.line(now) : opening_line(control_.rank_table()), now);
}

// --- reports of the workers --------------------------------------------------------------------------------------------------

void TrainingWorkload::on_frame(int rank, Type type, wire::View payload, const std::shared_ptr<void>& /*owner*/) {
  if (!fresh_[static_cast<std::size_t>(rank)]) return; // from a worker that ends because of a restart
  heard_s_ = control_.now_s();
  if (!records_.is_open() && (type == Type::steps || type == Type::metrics || type == Type::saved))
    throw wire::Malformed("it speaks of steps before the training has begun");
  switch (type) {
    case Type::steps:
      return on_steps(wire::decode<wire::Steps>(payload));
    case Type::metrics:
      return on_metrics(wire::decode<wire::Metrics>(payload));
    case Type::skipped:
      return on_skipped(rank, wire::decode<wire::Skipped>(payload));
    case Type::saved:
      return on_saved(rank, wire::decode<wire::Saved>(payload));
    default:
      return; // not for this workload
  }
}

void TrainingWorkload::on_steps(const wire::Steps& steps) {
  progress_.set_total(steps.total);
  for (const wire::Step& step : steps.steps) {
    records_.add(step);
    progress_.add(step, control_.now_s());
    samples_ += step.samples;
    if (step.updated == 0)
      control_.say(fmt::format("step {}: not finite (loss {}); the parameters were left as they were", step.step, step.loss));
  }
  complete_checkpoints();
}

void TrainingWorkload::on_metrics(wire::Metrics metrics) {
  records_.add(metrics);
  control_.say(fmt::format("epoch {}, step {}: validation {} ({}){}", metrics.epoch, metrics.step, agent::describe(metrics),
                           human_duration(metrics.seconds), metrics.best != 0 ? " · best so far" : ""));
  if (metrics.best != 0) best_metrics_ = metrics;
  last_metrics_ = std::move(metrics);
}

void TrainingWorkload::on_skipped(int rank, const wire::Skipped& skipped) {
  note_skipped(control_, rank, skipped, unusable_.skipped);
  if (unusable_.skipped.size() <= setup_.max_failures || !stop_reason_.empty() || !error_.empty()) return;
  stop_reason_ =
      fmt::format("{} items could not be used, --max-failures allows {}", unusable_.skipped.size(), setup_.max_failures);
  stop_code_ = ExitCode::failed;
  halt(false, stop_reason_);
}

void TrainingWorkload::on_saved(int rank, wire::Saved saved) {
  if (!saved.error.empty())
    return fail(fmt::format("rank {} on {}: checkpoint {}: {}", rank, control_.rank_table().at(rank).join->host,
                            show_path(saved.folder), saved.error),
                ExitCode::stopped);
  records_.saved(number_[static_cast<std::size_t>(rank)], std::move(saved));
  complete_checkpoints();
}

void TrainingWorkload::complete_checkpoints() {
  for (const std::string& folder :
       records_.complete([this] { return checkpoint_facts(setup_, config_, plan_, trainable_, unusable_); })) {
    control_.log(0, log_info, fmt::format("checkpoint {} is whole", folder));
    failures_.forgive();
  }
}

// --- failures ----------------------------------------------------------------------------------------------------------------

void TrainingWorkload::worker_died(int rank, const wire::Died& died) {
  if (!fresh_[static_cast<std::size_t>(rank)]) return; // it was told to end
  fresh_[static_cast<std::size_t>(rank)] = false;
  RankFailure failure{rank, died.reason, ExitCode::failed, died.cause, {}};
  // Loaders record one item at a time; any other death is charged to the rank.
  if (died.certain != 0 && died.suspects.size() == 1 && died.suspects.front().rows == 1)
    failure.item = ItemPlace{died.suspects.front().part, died.suspects.front().first};
  failures_.add(failure);
}

void TrainingWorkload::lost(int rank, const std::string& reason, ExitCode code, bool over) {
  if (over && control_.rank_table().at(rank).stats) return; // its work is complete
  const std::string& host = control_.rank_table().at(rank).join->host;
  if (code == ExitCode::usage && !progress_.last()) throw usage_error(reason);
  control_.log(rank, log_error, reason);
  failures_.add({rank, reason, code, wire::FailureCause::exit, {}});
  if (!over) return; // step() decides which rank is to blame
  if (stop_reason_.empty())
    fail(fmt::format("rank {} on {}: {}", rank, host, reason), code);
  else
    halt(true, reason); // the others would wait for it; the previous checkpoint is the one to resume from
}

void TrainingWorkload::take_failures(double now) {
  if (!failures_.all_heard(now)) return;
  const RankFailure failure = failures_.root_cause();
  const int least = config_.get<int>("min-ranks");
  const bool on_gpu = bindings_[0].device >= 0;
  if (failures_.too_often(failure) && least > 0 && control_.rank_table().living() > least)
    control_.give_up(failure.rank, fmt::format("its worker died {} times: {}", setup_.max_restarts + 1, failure.reason));
  if (stop_reason_.empty() && error_.empty() && failures_.may_restart(failure, least, on_gpu)) return restart(failure);
  fail(fmt::format("rank {} on {}: {}", failure.rank, control_.rank_table().at(failure.rank).join->host, failure.reason),
       failure.code);
}

void TrainingWorkload::restart(const RankFailure& failure) {
  const int before = ranks_;
  ++attempt_;
  // An item that ended too many workers is skipped from now on, like one that cannot be decoded.
  if (const std::string given_up = failures_.charge(failure); !given_up.empty()) unusable_.given_up[*failure.item] = given_up;
  if (records_.is_open()) begin_ = Checkpoints::newest(training_.checkpoints); // else the checkpoints are of an earlier training
  control_.say(fmt::format(
      "rank {} on {}: {}; all workers restart {}", failure.rank, control_.rank_table().at(failure.rank).join->host,
      failure.reason, begin_ ? fmt::format("from step {}, {}", begin_->step, show_path(begin_->folder)) : "at the beginning"));
  number_ranks();
  if (ranks_ != before) {
    control_.say(fmt::format("{} rank(s) continue, the global batch of {} stays", ranks_, plan_.global_batch));
    config_.set("global-batch", plan_.global_batch);
    config_.set("lr-reference-batch", plan_.lr_reference);
    plan_ = with_batch(plan_, setup_, ranks_, plan_.batch_size, config_);
  }
  failures_.clear();
  connected_ = false;
  progress_.go_back();
  if (last_metrics_ && last_metrics_->step > last_step()) last_metrics_.reset();
  if (best_metrics_ && best_metrics_->step > last_step()) best_metrics_.reset();
  if (records_.is_open()) open_records();
  make_pieces();
  wire::Buffer bytes;
  wire::encode(wire::Halt{1, failure.reason}, bytes);
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    const RankState& state = control_.rank_table().at(rank);
    if (!state.lost.empty() || !fresh_[static_cast<std::size_t>(rank)]) continue;
    fresh_[static_cast<std::size_t>(rank)] = false;
    control_.post(rank, Type::halt, wire::View(bytes));
  }
  heard_s_ = control_.now_s();
  control_.configure_waiting(); // replacement workers that have already started
}

/// Ranks that are not lost, counted from 0.
void TrainingWorkload::number_ranks() {
  const RankTable& rank_table = control_.rank_table();
  number_.assign(static_cast<std::size_t>(rank_table.size()), -1);
  ranks_ = 0;
  for (int rank = 0; rank < rank_table.size(); ++rank)
    if (rank_table.at(rank).lost.empty()) number_[static_cast<std::size_t>(rank)] = ranks_++;
}

std::uint64_t TrainingWorkload::last_step() const {
  return progress_.last() ? progress_.last()->step : begin_ ? begin_->step : 0;
}

// --- the end -----------------------------------------------------------------------------------------------------------------

Outcome TrainingWorkload::finish() {
  const RankTable& rank_table = control_.rank_table();
  const auto& last = progress_.last();
  const std::uint64_t step = last_step();
  const bool all_steps = progress_.total() > 0 && step >= progress_.total();
  if (const int silent = rank_table.first_without([](const RankState& state) { return state.stats.has_value(); });
      silent >= 0 && error_.empty() && stop_reason_.empty())
    fail(fmt::format("rank {} on {}: did not end after the last step", silent, rank_table.at(silent).join->host),
         ExitCode::failed);

  Outcome outcome;
  const bool complete = all_steps && error_.empty() && stop_code_ != ExitCode::failed;
  const bool all_used = all_steps || (last && last->epoch > 1);
  outcome.failed = unusable_.skipped_in_training();
  outcome.done = all_used ? setup_.manifest.size() : outcome.failed;
  outcome.run_s = connected_ ? control_.now_s() - connected_s_ : 0;
  outcome.open_s = (connected_ ? connected_s_ : control_.now_s()) - began_s_;
  outcome.error = error_;
  if (!error_.empty()) {
    outcome.code = error_code_ == ExitCode::stopped ? ExitCode::stopped : ExitCode::failed;
  } else if (!complete) {
    outcome.code = stop_code_;
    (stop_code_ == ExitCode::failed ? outcome.error : outcome.stopped) = stop_reason_;
  } else if (!unusable_.skipped.empty()) {
    outcome.code = ExitCode::items_failed;
  }

  if (!last && !complete) { // nothing to report
    discard_unused();
    return outcome;
  }
  put_statuses(output_, setup_.manifest.size(), unusable_.skipped, all_used);
  const write::Footer footer = output_.finish(complete, rank_table, with_classes(records_.series(), last_metrics_));
  print_training_table(footer.ranks, last_metrics_, best_metrics_);
  print_gpus(rank_table);
  const TrainingEnd end{.complete = complete,
                        .step = step,
                        .samples = samples_,
                        .skipped = unusable_.skipped.size(),
                        .global_batch = plan_.global_batch,
                        .stopped = stop_reason_,
                        .network = config_.get<std::string>("save"),
                        .last_checkpoint = records_.last_checkpoint()};
  print_training_end(setup_, outcome, progress_, end);
  if (complete) records_.remove_curves(); // they are in /training now
  write_summary(setup_, outcome, footer, training_summary(outcome, progress_, end, last_metrics_, best_metrics_));
  return outcome;
}

void TrainingWorkload::discard_unused() noexcept {
  if (progress_.last()) return;
  output_.discard();
  if (begin_) return;                               // the curves up to the checkpoint are kept
  if (records_.is_open()) records_.remove_curves(); // else they are of an earlier training
  records_.remove_empty_folder();
}

} // namespace mgpu::agent
