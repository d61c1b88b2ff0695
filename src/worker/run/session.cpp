#include "worker/run/session.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <pthread.h>

#include <deque>

#include "common/support/clock.hpp"
#include "common/support/rank_logs.hpp"
#include "worker/device/devices.hpp"
#include "worker/device/torch.hpp"
#include "worker/run/setup.hpp"

namespace mgpu::worker {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int run_thread = 1; ///< thread id in the trace
/// Short batches are announced together; a longer batch is announced before the next one starts.
constexpr double quick_batch_s = 200e-6;
constexpr std::size_t most_announced_together = 64;

} // namespace

Session::Session(SessionParts parts, MakeWork make_work)
    : configure_(std::move(parts.configure)),
      make_work_(std::move(make_work)),
      channel_(parts.channel),
      activity_table_(parts.activity_table),
      ended_(std::move(parts.ended)),
      trace_(configure_.trace != 0, configure_.rank,
             [this](std::string_view piece) { channel_.send(wire::Type::trace, std::as_bytes(std::span(piece))); }),
      sender_(parts.channel, parts.ring) {
  use_cores(configure_.cores); // before any thread starts: threads inherit it
  thread_ = std::thread([this] { thread_main(); });
}

Session::~Session() {
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    if (prefetcher_ != nullptr) prefetcher_->stop();
  }
  thread_.join();
}

// --- the caller's thread -----------------------------------------------------------------------------------------------------

void Session::handle(wire::Type type, wire::View payload) {
  if (type == wire::Type::grant)
    add(wire::decode<wire::Grant>(payload));
  else if (type == wire::Type::release)
    sender_.release(wire::decode<wire::SharedRange>(payload));
  else
    throw Error(fmt::format("the worker got a message of type {}, which is not for it", static_cast<std::uint32_t>(type)));
}

void Session::add(wire::Grant grant) {
  const std::lock_guard lock(mutex_);
  for (wire::BatchRange& range : grant.batches) {
    if (prefetcher_ != nullptr)
      prefetcher_->add(std::move(range));
    else
      early_.push_back(std::move(range));
  }
}

void Session::finish() {
  const std::lock_guard lock(mutex_);
  finished_ = true;
  if (prefetcher_ != nullptr) prefetcher_->close();
}

// --- the run thread ----------------------------------------------------------------------------------------------------------

void Session::thread_main() {
  const c10::InferenceMode inference;
  try {
    open();
    if (wait_for_loaders()) run_batches();
    trace_.flush();
    for (const std::string& remark : work_->remarks()) channel_.send(wire::Type::log, wire::Log{log_warning, remark});
    send_stats();
    exit_code_ = 0;
  } catch (const std::exception& error) {
    exit_code_ = tell_failure(channel_, error);
  }
  ended_();
}

void Session::open() {
  const auto begin = Clock::now();
  context_ = make_context(configure_, channel_);
  trace_.name_thread(run_thread, "run");
  set_math(context_);
  streams_ = DeviceStreams::open(context_.device);
  work_ = make_work_(configure_.job);
  work_->open(context_);
  context_.progress("trial run", 0.95);
  if (context_.config.has("fault")) faults_ = Faults(context_.config.get<std::string>("fault"), context_.rank);
  runner_ = std::make_unique<BatchRunner>(*work_, *streams_, context_.batch_size, faults_, [this](const std::string& line) {
    channel_.send(wire::Type::log, wire::Log{log_warning, line});
  });
  runner_->trial(work_->row_spec(), context_.batch_size);
  trace_.span("open", run_thread, 0, begin, Clock::now());
  announce(seconds(Clock::now() - begin));
}

void Session::announce(double seconds) {
  wire::Opened opened;
  opened.seconds = seconds;
  opened.memory_bytes = resident_bytes();
  opened.columns = runner_->columns();
  tell_device(context_.device, opened);
  opened.labels = work_->labels();
  announced_ = runner_->columns_known();
  channel_.send(wire::Type::opened, opened);
}

bool Session::wait_for_loaders() {
  Prefetcher::Settings settings;
  settings.threads = context_.loaders;
  settings.batch_size = context_.batch_size;
  settings.buffers = static_cast<std::size_t>(std::max(configure_.batches_in_flight, 1)) + (streams_->overlaps() ? 2 : 1);
  settings.row_spec = work_->row_spec();
  settings.activity_table = &activity_table_;
  if (context_.config.has("prefetch-bytes"))
    settings.bytes = static_cast<std::int64_t>(context_.config.get<double>("prefetch-bytes"));
  settings.allocate = [this](at::IntArrayRef shape, torch::ScalarType type) { return streams_->host_tensor(shape, type); };
  const auto prepare = [this](const wire::BatchRange& range, std::size_t row, Sample& sample) {
    faults_.before_item(range.items[row].index, range.attempt);
    work_->prepare(range.items[row], sample);
  };
  auto prefetcher = std::make_unique<Prefetcher>(prepare, std::move(settings), trace_);
  const std::lock_guard lock(mutex_);
  prefetcher_ = std::move(prefetcher);
  for (wire::BatchRange& range : early_) prefetcher_->add(std::move(range));
  early_.clear();
  if (finished_) prefetcher_->close();
  return !abandoned_;
}

Uploaded Session::upload(const LoadedBatch& batch) {
  const auto begin = Clock::now();
  Uploaded uploaded = streams_->upload(batch.input, batch.lengths, {});
  if (streams_->overlaps()) trace_.span("upload", run_thread, batch.range.batch, begin, Clock::now());
  return uploaded;
}

/// On a GPU three batches are in progress at once: one is copied to it, one runs, one is copied back. On a CPU, one.
void Session::run_batches() {
  struct Next {
    std::unique_ptr<LoadedBatch> batch;
    Uploaded uploaded;
  };
  std::optional<Next> next;
  std::deque<RanBatch> running;
  const auto settle_all = [&](std::size_t but) {
    while (running.size() > but) {
      settle(std::move(running.front()));
      running.pop_front();
      if (!running.empty()) note_running(*running.front().slot, running.front().batch->range); // from now on it uses the device
    }
  };
  const auto stage = [&](std::unique_ptr<LoadedBatch> batch) {
    if (batch == nullptr) return;
    Uploaded uploaded = upload(*batch);
    next = Next{std::move(batch), std::move(uploaded)};
  };
  for (;;) {
    if (!next) stage(prefetcher_->try_take());
    if (!next) { // nothing is ready: first finish the running batches
      settle_all(0);
      sender_.flush();
      stage(prefetcher_->take());
      if (!next) return;
    }
    Next current = std::move(*next);
    next.reset();
    if (streams_->overlaps()) stage(prefetcher_->try_take());
    if (batches_++ == 0) first_grant_ = current.batch->granted;
    running.push_back(run(std::move(current.batch), std::move(current.uploaded)));
    settle_all(streams_->overlaps() ? 1 : 0);
  }
}

RanBatch Session::run(std::unique_ptr<LoadedBatch> batch, Uploaded uploaded) {
  wire::ActivitySlot& slot = activity_table_.slot(batches_ % wire::ActivityTable::run_slots);
  note_running(slot, batch->range);
  faults_.before_batch(batch->range.batch, batch->range.attempt);
  RanBatch ran = runner_->run(std::move(batch), std::move(uploaded));
  ran.slot = &slot;
  return ran;
}

/// Records typical times, by which the agent distinguishes a late batch from a long one.
void Session::note_typical(const RanBatch& ran, double run_s) {
  constexpr double quick_s = 1e-3;
  constexpr std::uint64_t quick_batches = 64;
  if (run_s < quick_s && batches_ % quick_batches != 0) return; // such batches cannot be late
  typical_batch_.add(run_s);
  activity_table_.note_typical(wire::Doing::running, typical_batch_.value());
  for (const float seconds : ran.batch->seconds) typical_item_.add(seconds);
  activity_table_.note_typical(wire::Doing::preparing, typical_item_.value());
}

void Session::note_running(wire::ActivitySlot& slot, const wire::BatchRange& range) {
  note_doing(wire::Doing::running, slot, range);
}

void Session::note_doing(wire::Doing doing, wire::ActivitySlot& slot, const wire::BatchRange& range) {
  const bool whole = range.wanted_rows == 0;
  slot.begin(doing, range.batch, range.first + range.wanted_begin,
             whole ? static_cast<std::uint32_t>(range.items.size()) : range.wanted_rows, now_s());
  wire::ActivityTable::enter(&slot);
}

void Session::settle(RanBatch ran) {
  streams_->finish(ran.done);
  note_doing(wire::Doing::encoding, *ran.slot, ran.batch->range);
  keep_wanted(ran);
  const auto end = Clock::now();
  const auto begin = std::max(ran.begin, last_settled_); // batches queue on a device: each second is counted once
  last_settled_ = end;
  const double run_s = seconds(end - begin);
  busy_s_ += run_s;
  trace_.span("run", run_thread, ran.batch->range.batch, begin, end);
  if (!announced_ && runner_->columns_known()) announce(0);
  sender_.add(ran, runner_->columns(), run_s);
  ran.slot->end();
  note_typical(ran, run_s);
  if (run_s > quick_batch_s || sender_.pending() >= most_announced_together) sender_.flush();
  trace_.span("result", run_thread, ran.batch->range.batch, end, Clock::now());
  prefetcher_->recycle(std::move(ran.batch));
}

void Session::send_stats() {
  wire::Stats stats;
  stats.items = sender_.items();
  stats.failed = sender_.failed();
  stats.batches = batches_;
  stats.busy_s = busy_s_;
  stats.write_wait_s = sender_.wait_s();
  stats.memory_bytes = peak_resident_bytes();
  if (prefetcher_ != nullptr) {
    stats.load_wait_s = prefetcher_->waits().for_data_s;
    stats.grant_wait_s = prefetcher_->waits().for_grant_s;
    stats.load_s = prefetcher_->load_s();
  }
  if (batches_ > 0) stats.wall_s = seconds(last_settled_ - first_grant_);
  channel_.send(wire::Type::stats, stats);
}

} // namespace mgpu::worker
