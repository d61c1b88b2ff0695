#include "agent/coordinator/coordinator.hpp"

#include <fmt/format.h>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent/coordinator/signals.hpp"
#include "common/support/clock.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

using wire::Type;

Coordinator::Coordinator(const RunSetup& setup, comm::Messenger& messenger, WorkerLink& worker, MakeWorkload make_workload,
                         std::function<void()> on_beat, std::function<void()> on_leave, Process process)
    : setup_(setup),
      messenger_(messenger),
      worker_(worker),
      make_workload_(std::move(make_workload)),
      on_beat_(std::move(on_beat)),
      on_leave_(std::move(on_leave)),
      process_(std::move(process)),
      rank_table_(messenger.size()),
      heartbeats_(messenger, rank_table_, setup.rank_timeout_s) {
  // Also for a coordinator that only dismisses: no rank counts as silent yet.
  for (int rank = 0; rank < rank_table_.size(); ++rank) rank_table_.at(rank).heard_s = process_.clock();
}

Coordinator::~Coordinator() = default;

Outcome Coordinator::run(const wire::Join& own_join) {
  start(own_join);
  try {
    serve(0, [this] { return done(); });
  } catch (...) {
    abandon();
    throw;
  }
  return outcome();
}

void Coordinator::start(const wire::Join& own_join) {
  const double now = began_s_ = beat_s_ = now_s();
  phase_deadline_s_ = now + setup_.start_timeout_s;
  rank_table_.at(0).join = own_join;
  workload_ = make_workload_(*this);
  logs_.open(setup_);
}

bool Coordinator::step() {
  try {
    return round();
  } catch (...) {
    abandon();
    throw;
  }
}

/// Cleans up after a failed run.
void Coordinator::abandon() {
  planning_.call_off();
  workload_->discard_unused();
}

const Outcome& Coordinator::outcome() const {
  if (!outcome_.error.empty()) throw Error(outcome_.error, outcome_.code);
  return outcome_;
}

void Coordinator::serve(double limit_s, const std::function<bool()>& until) {
  Backoff backoff;
  const double begin = now_s();
  while (!until() && (limit_s <= 0 || now_s() - begin < limit_s)) {
    const bool busy = round();
    if (const auto pause = backoff.next(busy); pause.count() > 0) worker_.wait(pause);
  }
}

bool Coordinator::round() {
  bool busy = messenger_.poll([this](int rank, Type type, wire::View payload, const std::shared_ptr<void>& owner) {
    on_frame(rank, type, payload, owner);
  });
  busy |= worker_.poll(
      [this](Type type, wire::View payload, const std::shared_ptr<void>& owner) { on_frame(0, type, payload, owner); });
  for (const int rank : messenger_.take_dead()) lose_agent(rank, "its agent died");
  on_signal(process_.stop_request());
  const double now = now_s();
  watch(now);
  messenger_.flush();
  worker_.flush();
  return busy;
}

void Coordinator::post(int rank, Type type, wire::View payload) {
  if (phase_ == Phase::finishing) return; // finish() runs on another thread, and no worker reads any more
  if (rank == 0)
    worker_.post(type, payload);
  else
    messenger_.post(rank, type, payload);
}

void Coordinator::post_all(Type type, wire::View payload) {
  for (int rank = 0; rank < rank_table_.size(); ++rank)
    if (rank_table_.at(rank).lost.empty()) post(rank, type, payload);
}

void Coordinator::say(std::string_view line) {
  if (progress_) progress_->say(line);
}

void Coordinator::configure_waiting() {
  if (phase_ == Phase::running) rank_setup_->configure_ready();
}

void Coordinator::give_up(int rank, const std::string& reason) {
  if (rank == 0) worker_.kill();
  drop_rank(rank, reason, ExitCode::failed);
}

/// A damaged message costs its rank, not the run.
void Coordinator::on_frame(int rank, Type type, wire::View payload, const std::shared_ptr<void>& owner) {
  try {
    hear(rank, type, payload, owner);
  } catch (const wire::Malformed& error) {
    give_up(rank, fmt::format("it sent what cannot be read: {}", error.what()));
  }
}

void Coordinator::hear(int rank, Type type, wire::View payload, const std::shared_ptr<void>& owner) {
  RankState& state = rank_table_.at(rank);
  state.heard_s = now_s();
  if (type == Type::bye) {
    state.left = true;
    return;
  }
  if (type == Type::signal) return on_signal(wire::decode<wire::Signal>(payload));
  // Late messages: of a dropped rank, or after the end of the run (for example a second rank that cannot open the model).
  if (!state.lost.empty() || over()) return;
  switch (type) {
    case Type::join:
      state.join = wire::decode<wire::Join>(payload);
      break;
    case Type::hello:
      state.hello = wire::decode<wire::Hello>(payload);
      if (!state.configured) configure_waiting(); // it may replace a worker that died
      break;
    case Type::staged:
      // Otherwise the other ranks have finished all work meanwhile.
      if (phase_ == Phase::running) rank_setup_->on_staged(rank, wire::decode<wire::Staged>(payload));
      return;
    case Type::progress:
      state.progress = wire::decode<wire::Progress>(payload);
      return;
    case Type::opened:
      return on_opened(rank, wire::decode<wire::Opened>(payload));
    case Type::log: {
      const auto line = wire::decode<wire::Log>(payload);
      log(rank, line.level, line.text);
      if (line.level >= log_warning) say(fmt::format("rank {}: {}", rank, line.text));
      return;
    }
    case Type::stats:
      state.stats = wire::decode<wire::Stats>(payload);
      log(rank, log_info,
          fmt::format("its worker ends: {} items, {} failed, {} batches, busy for {}", state.stats->items, state.stats->failed,
                      state.stats->batches, human_duration(state.stats->busy_s)));
      return;
    case Type::trace:
      logs_.trace(payload);
      return;
    case Type::failure:
      return on_failure(rank, wire::decode<wire::Failure>(payload));
    case Type::died:
      return on_died(rank, wire::decode<wire::Died>(payload));
    case Type::health:
      return on_health(rank, wire::decode<wire::Health>(payload));
    case Type::heartbeat:
      return;
    default:
      if (!starting()) workload_->on_frame(rank, type, payload, owner);
      return;
  }
  if (phase_ == Phase::gathering && rank_table_.all([](const RankState& each) { return each.ready(); })) make_plan();
}

void Coordinator::make_plan() {
  bindings_ = bind_ranks(rank_table_, setup_);
  phase_ = Phase::planning;
  planning_.begin([this] { workload_->plan(bindings_); }, now_s());
}

void Coordinator::begin_work() {
  if (setup_.dry_run) {
    phase_ = Phase::done;
    return;
  }
  workload_->start();
  progress_ = std::make_unique<Progress>(setup_.progress, setup_.manifest.size());
  phase_ = Phase::running;
  RunControl& control = *this;
  rank_setup_ = std::make_unique<RankSetup>(control, rank_table_, *workload_, bindings_, logs_.traces());
  rank_setup_->begin();
}

void Coordinator::on_opened(int rank, wire::Opened opened) {
  RankState& state = rank_table_.at(rank);
  const bool again = state.opened.has_value(); // with columns that were unknown before the first batch
  state.opened = std::move(opened);
  if (!again && setup_.progress != "none" && rank_table_.size() <= 64)
    say(fmt::format("rank {} on {}: {} ready in {}, {} of memory", rank, state.join->host, state.opened->device,
                    human_duration(state.opened->seconds), human_bytes(static_cast<double>(state.opened->memory_bytes))));
  if (!again) log(rank, log_info, fmt::format("{} ready in {}", state.opened->device, human_duration(state.opened->seconds)));
  workload_->opened(rank, again);
  if (!again) configure_waiting();
}

void Coordinator::on_health(int rank, const wire::Health& health) {
  if (starting()) return;
  RankState& state = rank_table_.at(rank);
  const bool changed = health.state != state.gpu.state();
  state.gpu.add(health, now_s() - began_s_);
  for (const std::string& warning : health.warnings) {
    log(rank, log_warning, fmt::format("GPU {}: {}", state.gpu_uuid, warning));
    say(fmt::format("warning: rank {} on {}, {}: {}", rank, state.join->host, state.gpu_uuid, warning));
  }
  if (changed) log(rank, log_warning, fmt::format("GPU {}: {}", state.gpu_uuid, health.reason));
  workload_->on_health(rank, health, changed);
}

void Coordinator::on_failure(int rank, const wire::Failure& failure) {
  const std::string host = rank_table_.at(rank).join ? rank_table_.at(rank).join->host : "unknown host";
  // Bad usage or an unusable model concerns every rank. Anything else may be this rank's device or memory, also during opening.
  const bool usage = failure.exit_code == static_cast<int>(ExitCode::usage);
  if (starting() || (usage && !rank_table_.at(rank).opened)) {
    throw Error(usage ? failure.text : fmt::format("rank {} on {}: {}", rank, host, failure.text),
                usage ? ExitCode::usage : ExitCode::failed);
  }
  drop_rank(rank, failure.text, static_cast<ExitCode>(failure.exit_code));
}

void Coordinator::on_died(int rank, const wire::Died& died) {
  RankState& state = rank_table_.at(rank);
  state.opened.reset();
  state.hello.reset();
  state.configured = false;
  ++state.deaths;
  log(rank, log_error, fmt::format("the worker died: {}", died.reason));
  workload_->worker_died(rank, died);
  if (died.retired != 0)
    drop_rank(rank, fmt::format("its worker died {} times, the last time: {}", state.deaths, died.reason), ExitCode::failed);
}

void Coordinator::drop_rank(int rank, const std::string& reason, ExitCode code) {
  RankState& state = rank_table_.at(rank);
  if (!state.lost.empty() || over()) return;
  state.lost = reason;
  if (starting())
    throw Error(fmt::format("rank {} on {}: {}", rank, state.join ? state.join->host : "unknown host", reason), code);
  workload_->lost(rank, reason, code, phase_ == Phase::draining);
  if (phase_ == Phase::running) rank_setup_->lost(rank);
}

/// The rank is lost with its agent: no message can reach it. Not a failure of the job, so a run that ends by it may be resumed.
void Coordinator::lose_agent(int rank, const std::string& reason) {
  if (std::exchange(rank_table_.at(rank).gone, true) || over()) return;
  drop_rank(rank, reason, ExitCode::stopped);
}

void Coordinator::on_signal(const wire::Signal& told) {
  if (asked_.number == 0) asked_ = told;
  if (told.at_once != 0) leave_at_once();
}

/// The second interrupt: the file stays as it is on the disk, nothing more is written.
void Coordinator::leave_at_once() {
  for (int rank = 1; rank < rank_table_.size(); ++rank) messenger_.post_message(rank, Type::bye, wire::Bye{0, 1});
  for (int rank = 1; rank < rank_table_.size(); ++rank) messenger_.post_message(rank, Type::bye, wire::Bye{0, 1});
  messenger_.flush();
  constexpr double limit_s = 0.2;
  for (const double limit = now_s() + limit_s; !messenger_.idle() && now_s() < limit;) messenger_.poll([](auto&&...) {});
  worker_.kill();
  std::fputs("stopped at once; the same command with --resume continues\n", stderr);
  std::fflush(nullptr);
  if (on_leave_) on_leave_(); // last: the wait for a worker that hangs in the GPU driver takes a while
  _exit(static_cast<int>(ExitCode::stopped));
}

void Coordinator::watch(double now) {
  if (const auto end = worker_.ended(); end && !end->good() && rank_table_.at(0).lost.empty() && !over())
    on_failure(0, {static_cast<int>(ExitCode::failed), "its worker ended: " + end->text});
  beat(now);
  if (starting() && asked_.number != 0)
    throw Error(fmt::format("{} received before the work began", signal_name(asked_.number)), ExitCode::stopped);
  if (phase_ == Phase::gathering && now > phase_deadline_s_) {
    const int missing = rank_table_.first_without([](const RankState& state) { return state.ready(); });
    throw Error(fmt::format(
        "rank {} did not {} within {:.0f} s; raise --start-timeout, or see whether its host can start mgpu_run and mgpu_worker",
        missing, rank_table_.at(missing).join ? "bring up its worker" : "join", setup_.start_timeout_s));
  }
  if (phase_ == Phase::planning && planning_.poll(now, setup_.progress != "none")) begin_work();
  if (phase_ == Phase::finishing) watch_finishing();
  if (phase_ == Phase::draining) watch_draining(now);
  if (phase_ == Phase::running) watch_running(now);
}

/// Once a second: sends a heartbeat to every rank and checks for silent ranks.
void Coordinator::beat(double now) {
  constexpr double interval_s = 1;
  // Messages that arrived while this process was suspended are not read yet.
  if (const double away_s = suspension_.seconds(now); away_s > 0) {
    for (int rank = 1; rank < rank_table_.size(); ++rank) rank_table_.at(rank).heard_s += away_s;
    phase_deadline_s_ += away_s;
    drain_s_ += away_s;
  }
  if (now - beat_s_ < interval_s) return;
  beat_s_ = now;
  if (on_beat_) on_beat_();
  if (process_.launcher_gone() && phase_ != Phase::done)
    throw Error("the launcher of rank 0 has ended, and the other ranks with it", ExitCode::stopped);
  heartbeats_.beat(now, phase_ != Phase::gathering, [this](int rank, const std::string& reason) { lose_agent(rank, reason); });
}

void Coordinator::watch_running(double now) {
  rank_setup_->poll();
  if (asked_.number != 0 && !stopping_) {
    stopping_ = true;
    const double grace_s = asked_.number == SIGTERM ? setup_.term_grace_s : setup_.grace_s;
    workload_->stop(signal_name(asked_.number), now, asked_.from_launcher != 0 ? 0 : grace_s);
  }
  if (workload_->step(now)) return drain();
  workload_->show(*progress_, now);
}

void Coordinator::watch_draining(double now) {
  const bool all_in = rank_table_.all([](const RankState& state) { return !state.opened || state.stats.has_value(); });
  if (!all_in && now < drain_s_ + workload_->drain_limit_s()) return;
  workload_->show(*progress_, now);
  progress_->close();
  phase_ = Phase::finishing;
  finishing_ = std::async(std::launch::async, [this] { return workload_->finish(); });
}

void Coordinator::watch_finishing() {
  if (finishing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
  outcome_ = finishing_.get();
  phase_ = Phase::done;
}

void Coordinator::drain() {
  phase_ = Phase::draining;
  drain_s_ = now_s();
  post_all(Type::finish);
}

int Coordinator::lost_agents() const {
  int count = 0;
  for (int rank = 1; rank < rank_table_.size(); ++rank) count += rank_table_.at(rank).gone ? 1 : 0;
  return count;
}

bool Coordinator::lost_machines() const {
  if (asked_.number != 0) return asked_.from_launcher != 0;
  return lost_agents() > 0 || process_.launcher_gone();
}

bool Coordinator::dismiss(double limit_s) {
  phase_ = Phase::done;
  const auto say_bye = [this] {
    const wire::Bye bye{0, static_cast<std::uint8_t>(lost_agents() > 0 ? 1 : 0)};
    for (int rank = 1; rank < rank_table_.size(); ++rank) messenger_.post_message(rank, Type::bye, bye);
    messenger_.flush();
  };
  const auto all = [this](const auto& fact) {
    for (int rank = 1; rank < rank_table_.size(); ++rank)
      if (!rank_table_.at(rank).gone && !fact(rank)) return false;
    return true;
  };
  say_bye();
  serve(limit_s, [&] { return all([this](int rank) { return rank_table_.at(rank).left && messenger_.idle(rank); }); });
  if (lost_agents() == 0 && all([this](int rank) { return rank_table_.at(rank).left; })) return true;
  constexpr double last_word_s = 1;
  for (int rank = 1; rank < rank_table_.size(); ++rank)
    if (!rank_table_.at(rank).left) rank_table_.at(rank).gone = true;
  say_bye();
  serve(last_word_s, [&] { return all([this](int rank) { return messenger_.idle(rank); }); });
  return false;
}

} // namespace mgpu::agent
