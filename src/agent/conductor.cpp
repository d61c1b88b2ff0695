#include "agent/conductor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/report.hpp"
#include "agent/signals.hpp"
#include "agent/staging.hpp"
#include "support/clock.hpp"

namespace mgpu::agent {

using wire::Type;

Conductor::Conductor(const RunSetup& setup, comm::Messenger& messenger, WorkerLink& worker)
    : setup_(setup),
      messenger_(messenger),
      worker_(worker),
      roster_(messenger.size()),
      staged_paths_(static_cast<std::size_t>(messenger.size()), setup.model),
      grants_(static_cast<std::size_t>(messenger.size())) {}

Conductor::~Conductor() {
  for (const std::string& path : staged_paths_)
    if (path != setup_.model) remove_staged(path);
}

Outcome Conductor::run(const wire::Join& own_join) {
  began_s_ = beat_s_ = now_s();
  phase_deadline_s_ = began_s_ + setup_.start_timeout_s;
  for (int rank = 0; rank < roster_.size(); ++rank) roster_.at(rank).heard_s = began_s_;
  roster_.at(0).join = own_join;
  if (!setup_.trace.empty()) trace_ = std::make_unique<TraceFile>(setup_.trace);
  if (!setup_.log_dir.empty()) logs_ = std::make_unique<RankLogs>(setup_.log_dir);
  try {
    serve(0, [this] { return phase_ == Phase::done; });
  } catch (...) {
    discard_unused_output();
    throw;
  }
  return outcome_;
}

void Conductor::discard_unused_output() noexcept {
  if (gatherer_ && gatherer_->done() > 0) return;
  const bool made = writer_ != nullptr || file_.valid();
  writer_.reset();
  if (file_.valid()) file_.wait();
  file_ = {};
  if (made) write::ResultFile::discard(setup_.output);
}

void Conductor::serve(double limit_s, const std::function<bool()>& until) {
  Backoff backoff;
  const double begin = now_s();
  while (!until() && (limit_s <= 0 || now_s() - begin < limit_s)) {
    const bool busy = step();
    if (const auto pause = backoff.next(busy); pause.count() > 0) worker_.wait(pause);
  }
}

bool Conductor::step() {
  bool busy = messenger_.poll([this](int rank, Type type, wire::View payload, const std::shared_ptr<void>& owner) {
    on_frame(rank, type, payload, owner);
  });
  busy |= worker_.poll(
      [this](Type type, wire::View payload, const std::shared_ptr<void>& owner) { on_frame(0, type, payload, owner); });
  const double now = now_s();
  watch(now);
  if (phase_ == Phase::running) hand_out(now);
  messenger_.flush();
  worker_.flush();
  return busy;
}

void Conductor::post(int rank, Type type, wire::View payload) {
  if (rank == 0)
    worker_.post(type, payload);
  else
    messenger_.post(rank, type, payload);
}

void Conductor::on_frame(int rank, Type type, wire::View payload, const std::shared_ptr<void>& owner) {
  RankState& state = roster_.at(rank);
  state.heard_s = now_s();
  if (type == Type::bye) {
    state.left = true;
    return;
  }
  // Late words: of a rank that was given up, or of a run that has ended (a second rank that could not open the model either).
  if (!state.lost.empty() || phase_ == Phase::done) return;
  switch (type) {
    case Type::join:
      state.join = wire::decode<wire::Join>(payload);
      break;
    case Type::hello:
      state.hello = wire::decode<wire::Hello>(payload);
      break;
    case Type::staged:
      return on_staged(rank, wire::decode<wire::Staged>(payload));
    case Type::progress:
      state.progress = wire::decode<wire::Progress>(payload);
      return;
    case Type::opened:
      return on_opened(rank, wire::decode<wire::Opened>(payload));
    case Type::results:
      return on_results(rank, payload, owner);
    case Type::log: {
      const auto log = wire::decode<wire::Log>(payload);
      if (logs_) logs_->write(rank, log.level, log.text);
      if (log.level >= 2 && progress_) progress_->say(fmt::format("rank {}: {}", rank, log.text));
      return;
    }
    case Type::stats:
      state.stats = wire::decode<wire::Stats>(payload);
      return;
    case Type::trace:
      if (trace_) trace_->append({reinterpret_cast<const char*>(payload.data()), payload.size()});
      return;
    case Type::failure:
      return on_failure(rank, wire::decode<wire::Failure>(payload));
    default:
      return; // heartbeat
  }
  if (phase_ == Phase::gathering && roster_.all([](const RankState& each) { return each.ready(); })) begin();
}

void Conductor::on_failure(int rank, const wire::Failure& failure) {
  const std::string host = roster_.at(rank).join ? roster_.at(rank).join->host : "unknown host";
  // Before a rank has opened its model, its failure speaks of the model or the set-up, which every rank shares.
  if (phase_ == Phase::gathering || !roster_.at(rank).opened) {
    const bool usage = failure.exit_code == static_cast<int>(ExitCode::usage);
    throw Error(usage ? failure.text : fmt::format("rank {} on {}: {}", rank, host, failure.text),
                usage ? ExitCode::usage : ExitCode::failed);
  }
  drop_rank(rank, failure.text);
}

void Conductor::drop_rank(int rank, const std::string& reason) {
  RankState& state = roster_.at(rank);
  if (!state.lost.empty()) return;
  state.lost = reason;
  if (phase_ == Phase::draining) return; // its results are here; only its statistics are missing
  const std::string host = state.join ? state.join->host : "unknown host";
  if (phase_ == Phase::gathering) throw Error(fmt::format("rank {} on {}: {}", rank, host, reason));
  std::size_t given_back = 0;
  if (dispatcher_) given_back = dispatcher_->lose_rank(rank).size();
  if (progress_)
    progress_->say(
        fmt::format("rank {} on {} is out of the run: {}; its {} batch(es) go to other ranks", rank, host, reason, given_back));
  if (roster_.living() == 0) throw Error(fmt::format("no rank is left; the last, rank {} on {}: {}", rank, host, reason));
}

void Conductor::watch(double now) {
  if (const auto end = worker_.ended(); end && !end->empty() && roster_.at(0).lost.empty() && phase_ != Phase::done)
    on_failure(0, {static_cast<int>(ExitCode::failed), "its worker ended: " + *end});
  if (now - beat_s_ > 1.0) {
    beat_s_ = now;
    for (int rank = 1; rank < roster_.size(); ++rank) messenger_.post(rank, Type::heartbeat);
    for (int rank = 1; rank < roster_.size(); ++rank)
      if (phase_ != Phase::gathering && roster_.at(rank).lost.empty() && now - roster_.at(rank).heard_s > setup_.rank_timeout_s)
        drop_rank(rank, fmt::format("nothing heard from it for {:.0f} s", now - roster_.at(rank).heard_s));
  }
  if (phase_ == Phase::gathering && now > phase_deadline_s_) {
    const int missing = roster_.first_without([](const RankState& state) { return state.ready(); });
    throw Error(fmt::format(
        "rank {} did not {} within {:.0f} s; raise --start-timeout, or see whether its host can start mgpu_run and mgpu_worker",
        missing, roster_.at(missing).join ? "bring up its worker" : "join", setup_.start_timeout_s));
  }
  if (phase_ == Phase::draining &&
      (roster_.all([](const RankState& state) { return !state.opened || state.stats.has_value(); }) || now > phase_deadline_s_))
    finish();
  if (phase_ == Phase::running) {
    watch_signals(now);
    if (writer_) writer_->check();
    for (const int rank : dispatcher_->overdue(now)) {
      if (rank == 0) worker_.kill();
      drop_rank(rank, fmt::format("its batch took longer than --item-timeout allows ({:.0f} s)", setup_.item_timeout_s));
    }
    if (progress_) progress_->update(gatherer_->done(), gatherer_->failed(), now, opening_line(roster_));
  }
}

void Conductor::watch_signals(double now) {
  const int signal = stop_signal();
  if (signal != 0 && stop_reason_.empty()) {
    stop_reason_ = fmt::format("signal {}", signal);
    stop_s_ = now;
    dispatcher_->stop();
    if (progress_)
      progress_->say(fmt::format("stopping: {} received; batches in hand are finished first ({:.0f} s at most)", stop_reason_,
                                 setup_.grace_s));
  }
  if (!stop_reason_.empty() && (dispatcher_->finished() || now - stop_s_ > setup_.grace_s)) drain();
}

bool Conductor::dismiss(double limit_s) {
  wire::Buffer code;
  wire::Encoder(code).put(std::int32_t{0});
  for (int rank = 1; rank < roster_.size(); ++rank) messenger_.post(rank, Type::bye, wire::View(code));
  messenger_.flush();
  phase_ = Phase::done;
  const auto all_left = [this] {
    for (int rank = 1; rank < roster_.size(); ++rank)
      if (!roster_.at(rank).left) return false;
    return messenger_.idle();
  };
  serve(limit_s, all_left);
  return all_left();
}

} // namespace mgpu::agent
