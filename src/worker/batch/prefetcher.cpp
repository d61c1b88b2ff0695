#include "worker/batch/prefetcher.hpp"

#include <c10/util/ParallelGuard.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "common/support/clock.hpp"
#include "common/wire/items_messages.hpp"
#include "mgpu/error.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker {

namespace {

using Clock = std::chrono::steady_clock;

/// Fast rows are claimed several at a time, so that the lock is taken once per this time.
constexpr double claim_s = 100e-6;
constexpr std::size_t most_rows_a_claim = 64;
constexpr int first_loader_thread = 2; ///< thread id in the trace

/// The error of a row that is not wanted; it is not reported.
constexpr const char* not_wanted = "not wanted";

std::int64_t bytes_of(const torch::Tensor& tensor) {
  return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0;
}

void collate_rows(LoadedBatch& batch, const AllocateHost& allocate) {
  try {
    Collated collated = collate(batch.samples, batch.errors, allocate);
    batch.input = std::move(collated.input);
    batch.lengths = std::move(collated.lengths);
  } catch (const std::exception& error) {
    for (std::size_t row = 0; row < batch.rows(); ++row)
      if (batch.ok(row)) batch.fail(row, std::string("no memory to collect the batch: ") + error.what(), cause_of(error));
  }
  for (Sample& sample : batch.samples) sample.input = torch::Tensor();
  batch.bytes = bytes_of(batch.input);
}

/// Moves rows [begin, end) to a batch of their own.
std::unique_ptr<LoadedBatch> rows_of(LoadedBatch& batch, std::size_t begin, std::size_t end) {
  auto part = std::make_unique<LoadedBatch>();
  const auto move_rows = [&](auto& from, auto& to) {
    to.assign(std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(begin)),
              std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(end)));
  };
  part->range.batch = batch.range.batch;
  part->range.first = batch.range.first + begin;
  part->range.attempt = batch.range.attempt;
  part->range.epoch = batch.range.epoch;
  move_rows(batch.range.items, part->range.items);
  move_rows(batch.samples, part->samples);
  move_rows(batch.errors, part->errors);
  move_rows(batch.causes, part->causes);
  move_rows(batch.seconds, part->seconds);
  part->granted = batch.granted;
  return part;
}

/// Cuts a batch whose padded rows need more than `most_bytes` into consecutive parts that do not, as far as single rows allow.
/// The cuts depend only on the rows. Empty: no cut is needed.
std::vector<std::unique_ptr<LoadedBatch>> cut(LoadedBatch& batch, std::int64_t most_bytes) {
  const bool whole = batch.range.wanted_rows == 0;
  const std::size_t first = whole ? 0 : batch.range.wanted_begin;
  const std::size_t last = whole ? batch.rows() : std::min<std::size_t>(first + batch.range.wanted_rows, batch.rows());
  const auto row_bytes = [&](std::size_t row) { return batch.ok(row) ? bytes_of(batch.samples[row].input) : 0; };
  std::int64_t longest = 0;
  for (std::size_t row = 0; row < batch.rows(); ++row) longest = std::max(longest, row_bytes(row));
  std::vector<std::unique_ptr<LoadedBatch>> parts;
  if (longest * static_cast<std::int64_t>(batch.rows()) <= most_bytes) return parts;
  std::size_t begin = first;
  longest = 0;
  for (std::size_t row = first; row < last; ++row) {
    const std::int64_t with = std::max(longest, row_bytes(row));
    if (row > begin && with * static_cast<std::int64_t>(row + 1 - begin) > most_bytes) {
      parts.push_back(rows_of(batch, begin, row));
      begin = row;
      longest = row_bytes(row);
    } else {
      longest = with;
    }
  }
  parts.push_back(rows_of(batch, begin, last));
  return parts;
}

} // namespace

Prefetcher::Prefetcher(Work& work, Settings settings, TraceEvents& trace)
    : Prefetcher(
          [&work](const wire::BatchRange& range, std::size_t row, Sample& sample) { work.prepare(range.items[row], sample); },
          std::move(settings), trace) {}

Prefetcher::Prefetcher(Prepare prepare, Settings settings, TraceEvents& trace)
    : prepare_(std::move(prepare)), settings_(std::move(settings)), trace_(trace) {
  if (settings_.row_spec) {
    std::vector<std::int64_t> shape = settings_.row_spec->shape;
    shape.insert(shape.begin(), settings_.batch_size);
    for (std::size_t i = 0; i < std::max<std::size_t>(settings_.buffers, 2); ++i) {
      auto buffer = std::make_unique<InputBuffer>();
      buffer->whole = settings_.allocate(shape, settings_.row_spec->type);
      buffer->rows = buffer->whole.unbind(0);
      free_buffers_.push_back(buffer.get());
      buffers_.push_back(std::move(buffer));
    }
  }
  for (int i = 0; i < std::max(settings_.threads, 1); ++i) threads_.emplace_back([this, i] { loader(i); });
}

Prefetcher::~Prefetcher() {
  stop();
  for (std::thread& thread : threads_) thread.join();
}

void Prefetcher::add(wire::BatchRange range) {
  const std::size_t rows = range.items.size();
  if (rows == 0 || rows > static_cast<std::size_t>(settings_.batch_size))
    throw Error(fmt::format("batch {} has {} items, the batch size is {}", range.batch, rows, settings_.batch_size));
  {
    const std::lock_guard lock(mutex_);
    auto entry = std::make_unique<Entry>();
    entry->batch = fresh_batch();
    entry->batch->range = std::move(range);
    entry->batch->granted = Clock::now();
    entries_.push_back(std::move(entry));
  }
  if (rows > 1)
    work_ready_.notify_all();
  else
    work_ready_.notify_one();
}

void Prefetcher::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  batch_ready_.notify_all();
}

void Prefetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  work_ready_.notify_all();
  batch_ready_.notify_all();
}

std::unique_ptr<LoadedBatch> Prefetcher::fresh_batch() {
  if (spare_.empty()) return std::make_unique<LoadedBatch>();
  auto batch = std::move(spare_.back());
  spare_.pop_back();
  return batch;
}

// --- loaders -----------------------------------------------------------------------------------------------------------------

bool Prefetcher::claimable() const {
  if (next_claim_ >= entries_.size()) return false;
  // The batch that the consumer waits for is loaded regardless of the limit.
  if (settings_.bytes > 0 && held_bytes_ >= settings_.bytes && next_claim_ > 0) return false;
  return entries_[next_claim_]->started || !settings_.row_spec || !free_buffers_.empty();
}

void Prefetcher::start(Entry& entry) {
  LoadedBatch& batch = *entry.batch;
  const std::size_t rows = batch.rows();
  batch.samples.resize(rows);
  batch.errors.assign(rows, "");
  batch.causes.assign(rows, Cause::item);
  batch.seconds.assign(rows, 0.0f);
  entry.started = true;
  if (!settings_.row_spec) return;
  batch.buffer = free_buffers_.back();
  free_buffers_.pop_back();
  batch.input =
      rows == batch.buffer->rows.size() ? batch.buffer->whole : batch.buffer->whole.narrow(0, 0, static_cast<std::int64_t>(rows));
  for (std::size_t row = 0; row < rows; ++row) batch.samples[row].input = batch.buffer->rows[row];
}

Prefetcher::Claim Prefetcher::claim(double row_s) {
  Entry& entry = *entries_[next_claim_];
  if (!entry.started) start(entry);
  const std::size_t rows = entry.batch->rows();
  // The number of claimed rows affects only who prepares them, never the results.
  const double wanted = row_s > 0 ? claim_s / row_s : 1;
  const std::size_t fair = std::max<std::size_t>(1, (rows - entry.claimed) / threads_.size());
  const std::size_t count =
      std::clamp<std::size_t>(static_cast<std::size_t>(std::min(wanted, 1e6)), 1, std::min(fair, most_rows_a_claim));
  const Claim claim{&entry, entry.claimed, std::min(rows, entry.claimed + count)};
  entry.claimed = claim.end;
  if (claim.end == rows) ++next_claim_;
  return claim;
}

void Prefetcher::loader(int index) {
  const c10::InferenceMode inference(settings_.inference); // as in run: inference tensors can be written in this mode
  const torch::NoGradGuard no_grad;
  const c10::ParallelGuard sequential(true); // loaders are parallel already: no intra-op threads in prepare
  const int trace_thread = first_loader_thread + index;
  trace_.name_thread(trace_thread, fmt::format("loader {}", index));
  wire::ActivitySlot* slot =
      settings_.activity_table != nullptr
          ? &settings_.activity_table->slot(wire::ActivityTable::run_slots + static_cast<std::size_t>(index))
          : nullptr;
  wire::ActivityTable::enter(slot);
  double row_s = 1; // of the last claim; initially as for slow rows
  std::unique_lock lock(mutex_);
  for (;;) {
    work_ready_.wait(lock, [&] { return stopped_ || claimable(); });
    if (stopped_) return;
    const Claim mine = claim(row_s);
    lock.unlock();
    LoadedBatch& batch = *mine.entry->batch;
    const auto begin = Clock::now();
    for (std::size_t row = mine.begin; row < mine.end; ++row) prepare_row(batch, row, slot);
    const auto end = Clock::now();
    row_s = seconds(end - begin) / static_cast<double>(mine.end - mine.begin);
    load_ns_ += std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
    trace_.span("load", trace_thread, batch.range.batch, begin, end);

    std::int64_t bytes = 0;
    for (std::size_t row = mine.begin; row < mine.end && !settings_.row_spec; ++row) bytes += bytes_of(batch.samples[row].input);

    lock.lock();
    batch.bytes += bytes;
    held_bytes_ += bytes;
    mine.entry->done += mine.end - mine.begin;
    if (mine.entry->done < batch.rows()) continue;
    if (!settings_.row_spec) {
      lock.unlock();
      collect(*mine.entry, slot);
      lock.lock();
    }
    mine.entry->loaded = true;
    if (!entries_.empty() && entries_.front().get() == mine.entry) batch_ready_.notify_one();
  }
}

/// Collates the rows of an entry into one batch, or into several if it would be too large.
void Prefetcher::collect(Entry& entry, wire::ActivitySlot* slot) {
  std::vector<std::unique_ptr<LoadedBatch>> parts;
  const std::int64_t rows_bytes = entry.batch->bytes;
  const wire::BatchRange& range = entry.batch->range;
  if (slot != nullptr && settings_.doing == wire::Doing::preparing && settings_.inference)
    slot->begin(wire::Doing::collecting, range.batch, range.first + range.wanted_begin,
                range.wanted_rows == 0 ? static_cast<std::uint32_t>(range.items.size()) : range.wanted_rows,
                seconds(Clock::now().time_since_epoch()));
  if (settings_.bytes > 0) parts = cut(*entry.batch, settings_.bytes);
  if (parts.empty())
    collate_rows(*entry.batch, settings_.allocate);
  else
    for (const auto& part : parts) collate_rows(*part, settings_.allocate);
  if (slot != nullptr) slot->end();

  const std::lock_guard lock(mutex_);
  held_bytes_ -= rows_bytes;
  if (parts.empty()) {
    held_bytes_ += entry.batch->bytes;
    return;
  }
  for (const auto& part : parts) held_bytes_ += part->bytes;
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const auto& each) { return each.get() == &entry; });
  const auto place = at - entries_.begin() + 1;
  entry.batch = std::move(parts.front());
  for (std::size_t i = 1; i < parts.size(); ++i) {
    auto more = std::make_unique<Entry>();
    more->batch = std::move(parts[i]);
    more->claimed = more->done = more->batch->rows();
    more->started = more->loaded = true;
    entries_.insert(entries_.begin() + place + static_cast<std::ptrdiff_t>(i) - 1, std::move(more));
    ++next_claim_; // it is after this entry, whose rows are all claimed
  }
}

void Prefetcher::load_row(LoadedBatch& batch, std::size_t row) {
  Sample& sample = batch.samples[row];
  const void* place = settings_.row_spec ? sample.input.const_data_ptr() : nullptr;
  prepare_(batch.range, row, sample);
  if (!settings_.row_spec || (sample.input.defined() && sample.input.const_data_ptr() == place)) return;
  // The job made its own tensor instead of filling the row.
  torch::Tensor& target = batch.buffer->rows[row];
  if (!sample.input.defined() || sample.input.sizes() != target.sizes() || sample.input.scalar_type() != target.scalar_type())
    throw Error("prepared in another shape or type than the job declares");
  target.copy_(sample.input);
}

void Prefetcher::prepare_row(LoadedBatch& batch, std::size_t row, wire::ActivitySlot* slot) {
  const auto begin = Clock::now();
  std::string& reason = batch.errors[row];
  if (!batch.range.wanted(row)) {
    reason = not_wanted;
  } else {
    if (slot != nullptr)
      slot->begin(settings_.doing, batch.range.batch, batch.range.items[row].index, 1, seconds(begin.time_since_epoch()));
    try {
      load_row(batch, row);
    } catch (const std::exception& error) {
      reason = error.what();
      batch.causes[row] = cause_of(error);
      if (reason.empty()) reason = "could not be prepared";
    } catch (...) {
      reason = "could not be prepared: unknown exception";
    }
    if (slot != nullptr) slot->end();
  }
  if (!reason.empty() && settings_.row_spec) {
    torch::Tensor& target = batch.buffer->rows[row];
    std::memset(target.mutable_data_ptr(), 0, target.nbytes());
  }
  batch.seconds[row] = static_cast<float>(seconds(Clock::now() - begin));
}

// --- the consumer ------------------------------------------------------------------------------------------------------------

std::unique_ptr<LoadedBatch> Prefetcher::pop_front() {
  any_taken_ = true;
  auto batch = std::move(entries_.front()->batch);
  entries_.pop_front();
  --next_claim_; // a loaded batch is fully claimed, so the index is after it
  return batch;
}

std::unique_ptr<LoadedBatch> Prefetcher::take() {
  std::unique_lock lock(mutex_);
  const auto begin = Clock::now();
  batch_ready_.wait(lock,
                    [&] { return stopped_ || (!entries_.empty() && entries_.front()->loaded) || (entries_.empty() && closed_); });
  const auto end = Clock::now();
  if (stopped_ || entries_.empty()) return nullptr; // waiting for the end does not count
  const auto granted = std::clamp(entries_.front()->batch->granted, begin, end);
  if (any_taken_) waits_.for_grant_s += seconds(granted - begin); // time counts from the first grant
  waits_.for_data_s += seconds(end - granted);
  return pop_front();
}

std::unique_ptr<LoadedBatch> Prefetcher::try_take() {
  const std::lock_guard lock(mutex_);
  if (stopped_ || entries_.empty() || !entries_.front()->loaded) return nullptr;
  return pop_front();
}

void Prefetcher::recycle(std::unique_ptr<LoadedBatch> batch) {
  for (Sample& sample : batch->samples) sample.extra.reset();
  batch->input = torch::Tensor();
  batch->lengths = torch::Tensor();
  batch->range.items.clear();
  InputBuffer* buffer = std::exchange(batch->buffer, nullptr);
  {
    const std::lock_guard lock(mutex_);
    held_bytes_ -= std::exchange(batch->bytes, 0);
    if (buffer != nullptr) free_buffers_.push_back(buffer);
    if (spare_.size() < settings_.buffers + 2) spare_.push_back(std::move(batch));
  }
  if (buffer != nullptr || settings_.bytes > 0) work_ready_.notify_all();
}

Prefetcher::Waits Prefetcher::waits() const {
  const std::lock_guard lock(mutex_);
  return waits_;
}

} // namespace mgpu::worker
