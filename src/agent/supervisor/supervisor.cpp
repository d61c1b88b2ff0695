#include "agent/supervisor/supervisor.hpp"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <functional>

#include "common/support/clock.hpp"

namespace mgpu::agent {

using wire::Doing;
using wire::Type;

namespace {

constexpr double look_every_s = 0.05;
/// A spare worker costs memory, and its look at the GPUs time; a run that is over soon does without.
constexpr double spare_after_s = 1;
/// A process that SIGKILL does not end hangs in its driver: it, and its GPU, are given up.
constexpr double unkillable_after_s = 10;
constexpr double left_out_s = 24 * 3600;
/// Workers that cannot even be started, one after another.
constexpr std::int32_t most_unborn = 5;
/// A process that was not scheduled for so long was stopped, and its worker with it, as a job is that is suspended.
constexpr double pause_s = 1;
/// A worker that shall end at once (its training begins again, or it has failed) and has not.
constexpr double obeys_within_s = 10;

bool device_is_sick(const wire::Died& died) {
  return died.device == static_cast<std::uint8_t>(wire::DeviceTrouble::hardware);
}

} // namespace

Supervisor::Supervisor(MakeWorker make, ProbeDevice probe, BadDevices bad)
    : make_(std::move(make)), probe_(std::move(probe)), bad_(std::move(bad)), worker_(make_()) {}

void Supervisor::post(Type type, wire::View payload) {
  if (retired_) return;
  if (type == Type::configure) {
    const auto configure = wire::decode<wire::Configure>(payload);
    max_restarts_ = configure.max_restarts;
    watch_.set_limits({configure.item_timeout_s, configure.stall_timeout_s, std::max<std::int64_t>(configure.batch_size, 1)});
    configured_ = true;
    unborn_ = 0;
  }
  if (type == Type::finish) finishing_ = true;
  // Meant for one that has died meanwhile.
  if (!configured_ && type != Type::finish && max_restarts_ > 0) return;
  if (type == Type::halt && wire::decode<wire::Halt>(payload).now != 0 && told_s_ == 0) told_s_ = now_s();
  worker_->post(type, payload);
}

bool Supervisor::poll(const OnWorkerFrame& handle) {
  bool busy = pass_frames(handle);
  const double now = now_s();
  notice_pause(now);
  if (!watched() && !replaceable()) return busy;
  if (now - looked_s_ >= look_every_s) {
    looked_s_ = now;
    watch(now);
  }
  busy |= replace_dead(handle, now);
  return busy;
}

void Supervisor::notice_pause(double now) {
  if (polled_s_ > 0 && now - polled_s_ > pause_s) {
    watch_.resume(now);
    if (told_s_ > 0) told_s_ = now;
  }
  polled_s_ = now;
}

bool Supervisor::pass_frames(const OnWorkerFrame& handle) {
  return worker_->poll([&](Type type, wire::View payload, const std::shared_ptr<void>& owner) {
    if (type == Type::results || type == Type::saved) {
      deaths_ = 0;
      suspected_rows_ = 0;
    }
    if (type == Type::opened && !opened_) {
      opened_ = worked_ = true;
      opened_s_ = now_s();
      uuid_ = wire::decode<wire::Opened>(payload).uuid;
    }
    // Before the first model is open a failure speaks of the model or the set-up, and ends the run; so does bad usage, which another
    // worker would meet, too; and after the last work no other takes its place.
    if (type == Type::failure && max_restarts_ > 0 && worked_ && !finishing_) {
      auto failure = wire::decode<wire::Failure>(payload);
      if (failure.exit_code != static_cast<int>(ExitCode::usage)) {
        failure_ = {std::move(failure.text), failure.device};
        failed_s_ = now_s();
        return;
      }
    }
    handle(type, payload, owner);
  });
}

void Supervisor::watch(double now) {
  if (!late_.empty()) return; // it is being ended
  if (told_s_ > 0 && now - told_s_ > obeys_within_s) return end_late("did not end when it was told to", {}, now);
  if (!failure_.text.empty() && now - failed_s_ > obeys_within_s)
    return end_late(failure_.text, worker_->activity_table().read(), now);
  if (auto late = watch_.look({worker_->activity_table(), [this] { return worker_->usage(); }, opened_, !uuid_.empty()}, now)) {
    stalled_ = late->stalled;
    return end_late(std::move(late->reason), std::move(late->suspects), now);
  }
  warm_spare(now);
  if (spare_ != nullptr)
    spare_->poll([this](Type type, wire::View payload, const std::shared_ptr<void>&) {
      if (type == Type::hello) spare_hello_.assign(payload.begin(), payload.end());
    });
}

void Supervisor::end_late(std::string reason, std::vector<wire::Activity> suspects, double now) {
  late_ = std::move(reason);
  late_suspects_ = std::move(suspects);
  late_s_ = now;
  worker_->kill();
}

void Supervisor::warm_spare(double now) {
  if (spare_ != nullptr) {
    if (spare_->ended()) spare_.reset(); // the next round makes another
    return;
  }
  if (max_restarts_ <= 0 || !opened_ || finishing_ || now - opened_s_ <= spare_after_s) return;
  spare_hello_.clear();
  try {
    spare_ = make_();
  } catch (const Error&) { // no room, no more processes: perhaps later
    opened_s_ = now;
  }
}

/// False for a worker that never worked: what it died of would end the next one, too; and once there is no more work.
bool Supervisor::replaceable() const {
  return max_restarts_ > 0 && !finishing_ && !killed_ && !retired_ && (worked_ || !late_.empty());
}

/// While a worker opens its model, too.
bool Supervisor::watched() const {
  return configured_ && !finishing_ && !killed_ && !retired_;
}

/// True when the worker was replaced, or given up.
bool Supervisor::replace_dead(const OnWorkerFrame& handle, double now) {
  const bool stuck = !late_.empty() && now - late_s_ > unkillable_after_s;
  if (!replaceable()) return false;
  const auto end = stuck ? std::optional<std::string>("it does not end even by SIGKILL") : worker_->ended();
  if (!end) return false;
  wire::Died died = describe(*end);
  count(died);
  retired_ = stuck || deaths_ > max_restarts_ || unborn_ > most_unborn;
  look_at_device(died, stuck);
  if (!retired_) try {
      const bool warm = spare_ != nullptr && !spare_->ended();
      if (!warm) spare_hello_.clear();
      worker_ = warm ? std::move(spare_) : make_();
    } catch (const Error& error) {
      retired_ = true;
      died.reason += fmt::format("; {}", error.what());
    }
  spare_.reset();
  died.retired = retired_ ? 1 : 0;
  configured_ = opened_ = false;
  failure_ = {};
  late_.clear();
  late_suspects_.clear();
  stalled_ = false;
  told_s_ = 0;
  watch_.begin();
  looked_s_ = now;
  wire::Buffer bytes;
  wire::encode(died, bytes);
  handle(Type::died, wire::View(bytes), nullptr);
  if (!retired_ && !spare_hello_.empty()) handle(Type::hello, wire::View(spare_hello_), nullptr);
  spare_hello_.clear();
  return true;
}

/// A death that narrows the suspicion to fewer rows brings the search on: it is not counted, or a search could cost its rank.
void Supervisor::count(const wire::Died& died) {
  if (!configured_) ++unborn_;
  std::uint64_t rows = 0;
  for (const wire::Suspect& suspect : died.suspects) rows += suspect.rows;
  const bool narrows = rows > 0 && rows < suspected_rows_ && !device_is_sick(died);
  // A stall may be the server's on which all files lie: rank 0 sees the others, and counts.
  if (told_s_ == 0 && !narrows && died.stalled == 0) ++deaths_;
  suspected_rows_ = rows;
}

/// A GPU that fails for good is given up at once, and left out of the runs of the next day.
void Supervisor::look_at_device(wire::Died& died, bool stuck) {
  if (uuid_.empty()) return;
  const std::string trouble = stuck ? "a process hangs in its driver" : probe_(uuid_);
  const bool failed = device_is_sick(died);
  if (!trouble.empty()) {
    retired_ = true;
    died.reason += fmt::format("; its GPU {} cannot be used: {}", uuid_, trouble);
  }
  if (!trouble.empty() || (retired_ && failed))
    bad_.add({uuid_, trouble.empty() ? died.reason : trouble, unix_now_s() + left_out_s}, unix_now_s());
}

wire::Died Supervisor::describe(const std::string& end) const {
  wire::Died died;
  std::vector<wire::Activity> suspects;
  const auto crash = worker_->activity_table().crash();
  // A worker whose GPU fails may end within a destructor, before it can send anything.
  const wire::FinalWords said =
      failure_.text.empty() ? worker_->activity_table().final_words().value_or(wire::FinalWords{}) : failure_;
  died.spoke = said.text.empty() ? 0 : 1;
  died.device = said.device;
  if (!late_.empty()) {
    died.reason = late_;
    suspects = late_suspects_;
    died.certain = suspects.size() == 1 && said.text.empty() ? 1 : 0;
    died.stalled = stalled_ ? 1 : 0;
  } else if (crash && crash->activity && said.text.empty()) {
    died.reason = fmt::format("signal {} ({}) while {}", crash->signal, strsignal(crash->signal), name_of(*crash->activity));
    suspects = {*crash->activity};
    died.certain = 1;
  } else {
    died.reason = !said.text.empty() ? said.text : end.empty() ? "ended by itself with exit code 0" : end;
    suspects = worker_->activity_table().read();
  }
  // Kernels run for the batches that run; what loaders prepare meanwhile is not charged.
  if (died.device != 0) {
    const auto runs = [](const wire::Activity& each) { return each.doing == Doing::running; };
    if (std::any_of(suspects.begin(), suspects.end(), runs)) std::erase_if(suspects, std::not_fn(runs));
  }
  for (const wire::Activity& each : suspects) {
    const auto part = each.doing == Doing::preparing_validation ? wire::DataPart::validation : wire::DataPart::train;
    died.suspects.push_back({each.batch, each.first, each.rows, static_cast<std::uint8_t>(part)});
  }
  died.last_words = worker_->last_words();
  return died;
}

std::optional<std::string> Supervisor::ended() {
  if (retired_) return "given up";
  if (replaceable()) return std::nullopt; // whatever it is, another takes its place
  if (!late_.empty()) return now_s() - late_s_ > unkillable_after_s || worker_->ended() ? std::optional(late_) : std::nullopt;
  const auto end = worker_->ended();
  if (!end || end->empty()) return end;
  const auto said = worker_->activity_table().final_words(); // by one whose GPU failed, in a destructor
  return said ? said->text : *end;
}

void Supervisor::kill() {
  killed_ = true;
  worker_->kill();
  if (spare_ != nullptr) spare_->kill();
}

void Supervisor::end() {
  killed_ = true;
  spare_.reset();
  worker_.reset();
}

} // namespace mgpu::agent
