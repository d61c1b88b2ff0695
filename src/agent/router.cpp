#include "agent/router.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/staging.hpp"
#include "support/clock.hpp"

namespace mgpu::agent {

using wire::Type;

std::chrono::microseconds Backoff::next(bool busy) {
  // 16 rounds at once, then 50 µs doubling to 2 ms: a fresh answer is picked up at once, an idle rank wakes 500 times a second,
  // which is about 0.3 % of a core.
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

Router::Router(comm::Messenger& messenger, WorkerLink& worker, const RouterOptions& options)
    : messenger_(messenger), worker_(worker), options_(options) {}

int Router::run(const wire::Join& join) {
  messenger_.post_message(0, Type::join, join);
  heard_s_ = beat_s_ = now_s();
  Backoff backoff;
  while (!exit_code_) {
    const bool busy = step();
    if (const auto pause = backoff.next(busy); pause.count() > 0) worker_.wait(pause);
  }
  // The farewell must leave before MPI is taken down, but not for longer than a dead network allows.
  messenger_.post(0, Type::bye);
  messenger_.flush();
  for (const double limit = now_s() + 5; !messenger_.idle() && now_s() < limit;) messenger_.poll([](auto&&...) {});
  return *exit_code_;
}

bool Router::step() {
  bool busy =
      messenger_.poll([this](int, Type type, wire::View payload, const std::shared_ptr<void>&) { on_rank0(type, payload); });
  busy |= worker_.poll(
      [this](Type type, wire::View payload, const std::shared_ptr<void>& owner) { on_worker(type, payload, owner); });
  answer_staging();
  watch_worker();
  watch_rank0();
  messenger_.flush();
  worker_.flush();
  return busy;
}

void Router::on_rank0(Type type, wire::View payload) {
  heard_s_ = now_s();
  switch (type) {
    case Type::configure:
    case Type::grant:
    case Type::items:
    case Type::connect:
    case Type::halt:
    case Type::finish:
      worker_.post(type, payload);
      break;
    case Type::stage:
      staging_ = std::async(std::launch::async, [path = wire::decode<wire::Stage>(payload).path] { return stage_model(path); });
      break;
    case Type::bye:
      exit_code_ = payload.empty() ? 0 : wire::Decoder(payload).get<std::int32_t>();
      break;
    default:
      break; // heartbeat
  }
}

void Router::on_worker(Type type, wire::View payload, const std::shared_ptr<void>& owner) {
  if (owner)
    messenger_.post(0, type, payload, owner);
  else
    messenger_.post(0, type, payload);
}

void Router::answer_staging() {
  if (!staging_.valid() || staging_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
  messenger_.post_message(0, Type::staged, staging_.get());
}

void Router::watch_worker() {
  if (reported_end_) return;
  const auto end = worker_.ended();
  if (!end) return;
  reported_end_ = true;
  if (!end->empty()) messenger_.post_message(0, Type::failure, wire::Failure{1, "its worker ended: " + *end});
}

void Router::watch_rank0() {
  const double now = now_s();
  if (now - beat_s_ > options_.heartbeat_s) {
    beat_s_ = now;
    messenger_.post(0, Type::heartbeat);
  }
  if (now - heard_s_ > options_.rank_timeout_s) {
    worker_.kill();
    throw Error(fmt::format("rank {}: nothing heard from rank 0 for {:.0f} s; it is lost", messenger_.rank(), now - heard_s_),
                ExitCode::stopped);
  }
}

} // namespace mgpu::agent
