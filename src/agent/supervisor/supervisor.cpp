#include "agent/supervisor/supervisor.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <functional>

namespace mgpu::agent {

using wire::DeviceTrouble;
using wire::Doing;
using wire::FailureCause;
using wire::Type;

namespace {

constexpr double look_every_s = 0.05;
/// A standby worker costs memory and time for its detection of GPUs; a short run does without.
constexpr double standby_after_s = 1;
/// A process that SIGKILL does not end hangs in the GPU driver: it and its GPU are given up.
constexpr double unkillable_after_s = 10;
constexpr double left_out_s = 24 * 3600;
/// Workers in a row that end before they are configured.
constexpr std::int32_t most_unborn = 5;
/// Time for a worker to end after it was told to, or after it has failed.
constexpr double obeys_within_s = 10;

} // namespace

Supervisor::Supervisor(MakeWorker make, ProbeDevice probe, BadDevices bad, Clock clock, WatchDevice watch)
    : make_(std::move(make)),
      probe_(std::move(probe)),
      bad_(std::move(bad)),
      clock_(std::move(clock)),
      watch_device_(std::move(watch)),
      worker_(make_()) {}

void Supervisor::enter(WorkerEvent event) {
  const WorkerState state = next(life_.state, event);
  if (state == life_.state) return;
  life_.state = state;
  life_.entered_s = clock_();
}

void Supervisor::post(Type type, wire::View payload) {
  if (life_.state == WorkerState::given_up) return;
  if (type == Type::supervise) {
    limits_ = wire::decode<wire::Supervise>(payload);
    limits_.batch_size = std::max<std::int64_t>(limits_.batch_size, 1);
    watchdog_.set_limits({limits_.item_timeout_s, limits_.stall_timeout_s, limits_.batch_size});
    watch_device();
    return;
  }
  if (type == Type::configure) {
    enter(WorkerEvent::configure);
    unborn_ = 0;
  }
  if (type == Type::finish) enter(WorkerEvent::finish);
  // The frame was for a worker that has died meanwhile.
  if (life_.state == WorkerState::starting && limits_.restarts != 0) return;
  if (type == Type::halt && wire::decode<wire::Halt>(payload).now != 0) {
    enter(WorkerEvent::halt);
    life_.halted = true;
  }
  memory_names_.note(type, payload);
  worker_->post(type, payload);
}

bool Supervisor::poll(const OnWorkerFrame& handle) {
  bool busy = pass_frames(handle);
  busy |= tell_health(handle);
  const double now = clock_();
  if (const double away_s = suspension_.seconds(now); away_s > 0) {
    watchdog_.resume(now);
    life_.entered_s += away_s;
  }
  if (!is_watched(life_.state) && !replaceable()) return busy;
  if (now - looked_s_ >= look_every_s) {
    looked_s_ = now;
    watch();
  }
  busy |= replace_dead(handle);
  return busy;
}

void Supervisor::watch_device() {
  if (limits_.gpu_uuid == watched_uuid_) return; // sent again with each worker
  watched_uuid_ = limits_.gpu_uuid;
  health_.reset();
  drained_ = false;
  if (watched_uuid_.empty()) return;
  health_ = std::make_unique<gpu_health::HealthReporter>([watch = watch_device_, uuid = watched_uuid_] { return watch(uuid); },
                                                         limits_.health_interval_s,
                                                         gpu_health::HealthSettings{limits_.max_gpu_temperature_c});
}

bool Supervisor::tell_health(const OnWorkerFrame& handle) {
  if (health_ == nullptr || life_.state == WorkerState::given_up || life_.state == WorkerState::dismissed) return false;
  const auto health = health_->poll(clock_());
  if (!health) return false;
  if (health->state == wire::GpuState::drained && !std::exchange(drained_, true)) leave_out(watched_uuid_, health->reason);
  wire::Buffer bytes;
  wire::encode(*health, bytes);
  handle(Type::health, wire::View(bytes), nullptr);
  return true;
}

void Supervisor::leave_out(const std::string& uuid, const std::string& reason) {
  bad_.add({uuid, reason, unix_now_s() + left_out_s}, unix_now_s());
}

bool Supervisor::pass_frames(const OnWorkerFrame& handle) {
  return worker_->poll([&](Type type, wire::View payload, const std::shared_ptr<void>& owner) {
    if (type == Type::results || type == Type::saved) {
      deaths_ = 0;
      suspected_rows_ = 0;
    }
    if (type == Type::opened && !life_.opened) {
      enter(WorkerEvent::opened);
      life_.opened = model_opens_ = true;
      standby_due_s_ = clock_() + standby_after_s;
      uuid_ = wire::decode<wire::Opened>(payload).uuid;
    }
    if (type == Type::failure && keep_failure(payload)) return;
    handle(type, payload, owner);
  });
}

/// True for a failure that another worker may not meet. Before the first model is open, a failure concerns the model or the setup
/// and ends the run; so does bad usage. After the last work no worker is replaced.
bool Supervisor::keep_failure(wire::View payload) {
  if (limits_.restarts == 0 || !model_opens_ || life_.state == WorkerState::finishing) return false;
  auto failure = wire::decode<wire::Failure>(payload);
  if (failure.exit_code == static_cast<int>(ExitCode::usage)) return false;
  life_.failure = std::move(failure);
  enter(WorkerEvent::failure);
  return true;
}

void Supervisor::watch() {
  const double now = clock_();
  const bool overdue = now - life_.entered_s > obeys_within_s;
  if (life_.state == WorkerState::halting && overdue) return end_late({"did not end when it was told to", {}});
  if (life_.state == WorkerState::failing && overdue) return end_late({life_.failure->text, worker_->activity_table().read()});
  if (is_watched(life_.state) && life_.state != WorkerState::killed) {
    const Watchdog::Facts facts{worker_->activity_table(), [this] { return worker_->usage(); }, life_.opened, !uuid_.empty()};
    if (auto late = watchdog_.look(facts, now)) return end_late(std::move(*late));
  }
  warm_standby();
}

void Supervisor::end_late(Watchdog::Late late) {
  life_.late = std::move(late);
  life_.late_s = clock_();
  enter(WorkerEvent::late);
  worker_->kill();
}

void Supervisor::warm_standby() {
  if (standby_ != nullptr) {
    if (standby_->ended()) standby_.reset(); // the next round starts another
  } else if (limits_.restarts != 0 && life_.state == WorkerState::working && clock_() > standby_due_s_) {
    standby_hello_.clear();
    try {
      standby_ = make_();
    } catch (const Error&) { // no memory or no process: try again later
      standby_due_s_ = clock_() + standby_after_s;
    }
  }
  if (standby_ == nullptr) return;
  standby_->poll([this](Type type, wire::View payload, const std::shared_ptr<void>&) {
    if (type == Type::hello) standby_hello_.assign(payload.begin(), payload.end());
  });
}

/// False for a worker that never worked: the cause would end the next one, too. False when there is no more work.
bool Supervisor::replaceable() const {
  return limits_.restarts != 0 && life_.state < WorkerState::finishing && (model_opens_ || life_.state == WorkerState::killed);
}

bool Supervisor::is_stuck() const {
  return life_.late && clock_() - life_.late_s > unkillable_after_s;
}

/// True when the worker was replaced or given up.
bool Supervisor::replace_dead(const OnWorkerFrame& handle) {
  if (!replaceable()) return false;
  const bool stuck = is_stuck();
  const auto end = stuck ? std::optional(WorkerEnd{"it does not end even by SIGKILL"}) : worker_->ended();
  if (!end) return false;
  memory_names_.remove();
  wire::Died died = describe(*end);
  count(died);
  const bool too_often = limits_.max_restarts >= 0 && deaths_ > limits_.max_restarts;
  bool retired = stuck || too_often || unborn_ > most_unborn;
  retired |= cannot_use_device(died, stuck, retired);
  retired = retired || !start_next(died);
  standby_.reset();
  died.retired = retired ? 1 : 0;
  if (retired) {
    enter(WorkerEvent::give_up);
  } else {
    life_ = {.state = next(life_.state, WorkerEvent::replaced), .entered_s = clock_()};
    watchdog_.begin();
    looked_s_ = clock_();
  }
  wire::Buffer bytes;
  wire::encode(died, bytes);
  handle(Type::died, wire::View(bytes), nullptr);
  if (!retired && !standby_hello_.empty()) handle(Type::hello, wire::View(standby_hello_), nullptr);
  standby_hello_.clear();
  return true;
}

/// False when no worker can be started.
bool Supervisor::start_next(wire::Died& died) {
  try {
    const bool warm = standby_ != nullptr && !standby_->ended();
    if (!warm) standby_hello_.clear();
    worker_ = warm ? std::move(standby_) : make_();
    return true;
  } catch (const Error& error) {
    died.reason += fmt::format("; {}", error.what());
    return false;
  }
}

/// A death that narrows the suspicion to fewer rows is not counted: otherwise the search for the bad row could cost the rank.
void Supervisor::count(const wire::Died& died) {
  if (life_.state == WorkerState::starting) ++unborn_;
  std::uint64_t rows = 0;
  for (const wire::Suspect& suspect : died.suspects) rows += suspect.rows;
  const bool narrows = rows > 0 && rows < suspected_rows_ && died.device != DeviceTrouble::hardware;
  // The cause of a stall may be the file server: rank 0, which sees all ranks, counts stalls.
  if (!life_.halted && !narrows && died.stalled == 0) ++deaths_;
  suspected_rows_ = rows;
}

/// A GPU that fails permanently is given up at once, and excluded from runs for a day.
bool Supervisor::cannot_use_device(wire::Died& died, bool stuck, bool retired) {
  if (uuid_.empty()) return false;
  const std::string trouble = stuck ? "a process hangs in its driver" : probe_(uuid_);
  if (!trouble.empty()) died.reason += fmt::format("; its GPU {} cannot be used: {}", uuid_, trouble);
  if (!trouble.empty() || (retired && died.device == DeviceTrouble::hardware))
    leave_out(uuid_, trouble.empty() ? died.reason : trouble);
  return !trouble.empty();
}

/// The failure that the worker reported; without text if there was none. A worker whose GPU fails may end in a destructor, before
/// it can send anything.
wire::Failure Supervisor::reported() const {
  if (life_.failure) return *life_.failure;
  const auto words = worker_->activity_table().final_words();
  if (!words) return {};
  const auto device = static_cast<DeviceTrouble>(words->device);
  return {1, words->text, device == DeviceTrouble::none ? FailureCause::other : FailureCause::device, device};
}

wire::Died Supervisor::describe(const WorkerEnd& end) const {
  wire::Died died;
  std::vector<wire::Activity> suspects;
  const auto crash = worker_->activity_table().crash();
  const wire::Failure said = reported();
  const bool spoke = !said.text.empty();
  died.device = said.device;
  if (life_.late) {
    died.reason = life_.late->reason;
    died.cause = spoke ? said.cause : FailureCause::late;
    suspects = life_.late->suspects;
    died.certain = suspects.size() == 1 && !spoke ? 1 : 0;
    died.stalled = life_.late->stalled ? 1 : 0;
  } else if (spoke) {
    died.reason = said.text;
    died.cause = said.cause;
    suspects = worker_->activity_table().read();
  } else if (crash && crash->activity) {
    died.reason = fmt::format("signal {} ({}) while {}", crash->signal, strsignal(crash->signal), name_of(*crash->activity));
    died.cause = FailureCause::signal;
    suspects = {*crash->activity};
    died.certain = 1;
  } else {
    died.reason = end.good() ? "ended by itself with exit code 0" : end.text;
    died.cause = end.signal != 0 ? FailureCause::signal : FailureCause::exit;
    suspects = worker_->activity_table().read();
  }
  // Only running batches use kernels; items that loaders prepare meanwhile are not charged.
  if (died.device != DeviceTrouble::none) {
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

std::optional<WorkerEnd> Supervisor::ended() {
  if (life_.state == WorkerState::given_up) return WorkerEnd{"given up"};
  if (replaceable()) return std::nullopt; // in any case it is replaced
  auto end = worker_->ended();
  if (life_.late) return end || is_stuck() ? std::optional(WorkerEnd{life_.late->reason}) : std::nullopt;
  if (!end || end->good()) return end;
  const auto said = worker_->activity_table().final_words(); // of a worker whose GPU failed in a destructor
  return said ? WorkerEnd{said->text, end->signal} : end;
}

void Supervisor::kill() {
  enter(WorkerEvent::dismiss);
  worker_->kill();
  if (standby_ != nullptr) standby_->kill();
}

void Supervisor::end() {
  enter(WorkerEvent::dismiss);
  health_.reset();
  standby_.reset();
  worker_.reset();
  memory_names_.remove();
}

} // namespace mgpu::agent
