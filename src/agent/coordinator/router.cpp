#include "agent/coordinator/router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/coordinator/signals.hpp"
#include "agent/coordinator/staging.hpp"
#include "agent/supervisor/stuck_agent.hpp"
#include "common/support/clock.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

using wire::Type;

std::chrono::microseconds Backoff::next(bool busy) {
  // 16 rounds without a pause, then pauses of 50 µs growing to 2 ms: an answer that comes soon is read at once, and an idle rank
  // wakes 500 times a second, about 0.3 % of a core.
  constexpr int eager_rounds = 16;
  constexpr int longest_doubling = 5;
  if (busy) {
    idle_rounds_ = 0;
    return std::chrono::microseconds(0);
  }
  const int round = idle_rounds_++;
  if (round < eager_rounds) return std::chrono::microseconds(0);
  return std::chrono::microseconds(std::min(50 << std::min((round - eager_rounds) / 4, longest_doubling + 1), 2000));
}

Router::Router(comm::Messenger& messenger, WorkerLink& worker, const RouterOptions& options, Process process)
    : messenger_(messenger), worker_(worker), options_(options), process_(std::move(process)) {}

int Router::run(const wire::Join& join) {
  messenger_.post_message(0, Type::join, join);
  node_ = join.node;
  heard_s_ = beat_s_ = process_.clock();
  Backoff backoff;
  try {
    while (!exit_code_) {
      const bool busy = step();
      if (const auto pause = backoff.next(busy); pause.count() > 0) worker_.wait(pause);
    }
  } catch (...) {
    without_finalize_ = true; // rank 0 does not finalize
    worker_.kill();
    throw;
  }
  say_bye();
  return *exit_code_;
}

/// The last message must be sent before MPI ends. After a lost rank all remaining ranks exit together: one that exits early would
/// be another lost rank to the others. A time limit bounds both, in case the network is dead.
void Router::say_bye() {
  constexpr double limit_s = 5;
  messenger_.post(0, Type::bye);
  messenger_.flush();
  const auto poll = [this](int, Type type, wire::View payload, const std::shared_ptr<void>&) {
    if (type == Type::bye) on_bye(wire::decode<wire::Bye>(payload));
  };
  for (const double limit = process_.clock() + limit_s; process_.clock() < limit && !rank0_dead_;) {
    messenger_.poll(poll);
    for (const int rank : messenger_.take_dead()) {
      rank0_dead_ |= rank == 0;
      without_finalize_ = true;
    }
    if (messenger_.idle() && (!without_finalize_ || released_)) break;
    worker_.wait(std::chrono::milliseconds(1));
  }
}

void Router::on_bye(const wire::Bye& bye) {
  released_ = exit_code_.has_value();
  exit_code_ = bye.exit_code;
  without_finalize_ |= bye.without_finalize != 0;
}

bool Router::step() {
  bool busy =
      messenger_.poll([this](int, Type type, wire::View payload, const std::shared_ptr<void>&) { on_rank0(type, payload); });
  busy |= worker_.poll(
      [this](Type type, wire::View payload, const std::shared_ptr<void>& owner) { on_worker(type, payload, owner); });
  answer_staging();
  watch_worker();
  pass_on_signals();
  if (!exit_code_) watch_rank0();
  messenger_.flush();
  worker_.flush();
  return busy;
}

void Router::pass_on_signals() {
  const wire::Signal now = process_.stop_request();
  if (now.number == told_.number && now.at_once == told_.at_once) return;
  told_ = now;
  messenger_.post_message(0, Type::signal, now);
}

void Router::on_rank0(Type type, wire::View payload) {
  heard_s_ = process_.clock();
  switch (type) {
    case Type::supervise:
    case Type::configure:
    case Type::grant:
    case Type::items:
    case Type::connect:
    case Type::halt:
    case Type::finish:
      worker_.post(type, payload);
      break;
    case Type::stage: {
      const auto stage = wire::decode<wire::Stage>(payload);
      staging_.begin(stage.path, stage.stall_s);
      break;
    }
    case Type::bye:
      on_bye(wire::decode<wire::Bye>(payload));
      break;
    case Type::heartbeat:
      if (payload.empty()) break;
      rank0_ = wire::decode<wire::Heartbeat>(payload);
      options_.rank_timeout_s = rank0_.timeout_s;
      break;
    case Type::survey:
      if (options_.survey) messenger_.post_message(0, Type::surveyed, options_.survey(wire::decode<wire::Survey>(payload)));
      break;
    case Type::end_agent:
      end_stuck_agent(wire::decode<wire::EndAgent>(payload).pid);
      break;
    default:
      break; // not for a rank
  }
}

void Router::on_worker(Type type, wire::View payload, const std::shared_ptr<void>& owner) {
  if (owner)
    messenger_.post(0, type, payload, owner);
  else
    messenger_.post(0, type, payload);
}

void Router::answer_staging() {
  if (const auto staged = staging_.poll()) messenger_.post_message(0, Type::staged, *staged);
}

void Router::watch_worker() {
  if (reported_end_) return;
  const auto end = worker_.ended();
  if (!end) return;
  reported_end_ = true;
  if (!end->good()) messenger_.post_message(0, Type::failure, wire::Failure{1, "its worker ended: " + end->text});
}

void Router::watch_rank0() {
  const double now = process_.clock();
  // Messages that arrived while this process was suspended are not read yet.
  heard_s_ += suspension_.seconds(now);
  const auto lost = [this](const std::string& how) {
    return Error(fmt::format("rank {}: {}", messenger_.rank(), how), ExitCode::stopped);
  };
  for (const int rank : messenger_.take_dead()) {
    without_finalize_ = true;
    if (rank == 0) throw lost("rank 0 died");
  }
  if (now - heard_s_ > options_.rank_timeout_s) {
    if (rank0_.node == node_) end_stuck_agent(rank0_.pid);
    throw lost(fmt::format("nothing heard from rank 0 for {:.0f} s; it is lost", now - heard_s_));
  }
  if (now - beat_s_ < options_.heartbeat_s) return;
  beat_s_ = now;
  if (process_.launcher_gone()) throw lost("the launcher of this rank has ended");
  messenger_.post(0, Type::heartbeat);
}

} // namespace mgpu::agent
