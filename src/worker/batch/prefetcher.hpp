#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/wire/activity_table.hpp"
#include "common/wire/items_messages.hpp"
#include "worker/batch/collate.hpp"
#include "worker/batch/loaded_batch.hpp"
#include "worker/batch/trace_events.hpp"

namespace mgpu::worker {

/// Loads granted batches into tensors on loader threads, ahead of the run thread. Batches are returned in the order they were
/// added. Memory is bounded by the number of input buffers: loaders wait for a free one.
class Prefetcher {
 public:
  struct Settings {
    int threads = 1;
    std::int64_t batch_size = 1;
    std::size_t buffers = 2;         ///< input buffers; used with a RowSpec
    std::optional<RowSpec> row_spec; ///< nullopt: rows are collated with padding
    AllocateHost allocate;
    wire::ActivityTable* activity_table = nullptr; ///< for the loaders' activities; may be null
    wire::Doing doing = wire::Doing::preparing;    ///< the activity that they record
    /// Without a RowSpec: no further rows are prepared while this many bytes are loaded, and a batch that padding makes larger is
    /// returned in parts. 0: no limit.
    std::int64_t bytes = 0;
    bool inference = true; ///< false: rows are for autograd, which refuses tensors made in inference mode
  };
  /// Waiting time of the consumer between the first grant and the last batch, seconds.
  struct Waits {
    double for_data_s = 0;  ///< a batch was granted but not loaded
    double for_grant_s = 0; ///< no batch was granted
  };

  /// Prepares row `row` of a granted batch; called by many loaders at once. Throws with the reason if the row cannot be used.
  using Prepare = std::function<void(const wire::BatchRange& range, std::size_t row, Sample& sample)>;

  Prefetcher(Prepare prepare, Settings settings, TraceEvents& trace);
  /// Uses Work::prepare.
  Prefetcher(Work& work, Settings settings, TraceEvents& trace);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Adds a batch; throws Error if it has no items or more than the batch size. Any thread.
  void add(wire::BatchRange range);
  /// No more batches will be added: take() returns the remaining ones, then nullptr.
  void close();
  /// Stops at once: take() returns nullptr. Loaders end after their current row.
  void stop();

  /// The next batch, waiting until it is loaded; nullptr at the end.
  std::unique_ptr<LoadedBatch> take();
  /// As take(), but returns nullptr at once when the batch is not loaded yet.
  std::unique_ptr<LoadedBatch> try_take();
  /// Takes back a batch whose input is no longer read.
  void recycle(std::unique_ptr<LoadedBatch> batch);

  Waits waits() const;
  /// Seconds spent in prepare, summed over loaders.
  double load_s() const { return static_cast<double>(load_ns_.load()) * 1e-9; }

 private:
  struct Entry {
    std::unique_ptr<LoadedBatch> batch;
    std::size_t claimed = 0, done = 0;
    bool started = false, loaded = false;
  };
  struct Claim {
    Entry* entry = nullptr;
    std::size_t begin = 0, end = 0;
  };

  void loader(int index);
  bool claimable() const;
  Claim claim(double row_s);
  void start(Entry& entry);
  void collect(Entry& entry, wire::ActivitySlot* slot);
  void prepare_row(LoadedBatch& batch, std::size_t row, wire::ActivitySlot* slot);
  void load_row(LoadedBatch& batch, std::size_t row);
  std::unique_ptr<LoadedBatch> pop_front();
  std::unique_ptr<LoadedBatch> fresh_batch();

  Prepare prepare_;
  Settings settings_;
  TraceEvents& trace_;
  mutable std::mutex mutex_;
  std::condition_variable work_ready_, batch_ready_;
  std::deque<std::unique_ptr<Entry>> entries_; ///< in the order added
  std::int64_t held_bytes_ = 0;                ///< of loaded rows and batches, with Settings::bytes
  std::size_t next_claim_ = 0;                 ///< index in entries_ of the first with unclaimed rows
  std::vector<std::unique_ptr<InputBuffer>> buffers_;
  std::vector<InputBuffer*> free_buffers_;
  std::vector<std::unique_ptr<LoadedBatch>> spare_; ///< kept to reuse their vectors' memory
  bool closed_ = false, stopped_ = false, any_taken_ = false;
  Waits waits_;
  std::atomic<std::int64_t> load_ns_{0};
  std::vector<std::thread> threads_;
};

} // namespace mgpu::worker
