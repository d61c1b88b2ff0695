#pragma once
// This rank's rows of a training or validation set, loaded ahead in units of a batch.
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/wire/items_messages.hpp"
#include "mgpu/training.hpp"
#include "worker/batch/prefetcher.hpp"
#include "worker/device/device_streams.hpp"

namespace mgpu::worker::train {

/// One loaded unit on the device, without rows that could not be prepared.
struct Unit {
  std::unique_ptr<LoadedBatch> loaded;
  Uploaded uploaded;
  Batch batch; ///< the good rows; may be empty
};

class UnitFeed {
 public:
  /// Fills in the next unit's items; false at the end.
  using Next = std::function<bool(wire::BatchRange&)>;

  /// `training` makes the targets, on the thread that calls take().
  UnitFeed(const Training& training, Prefetcher::Prepare prepare, Prefetcher::Settings settings, TraceEvents& trace,
           DeviceStreams& streams, Next next);

  /// The next unit, waiting until it is loaded; the one after it is copied to the device meanwhile. Call done() with it before
  /// the next take(). nullopt at the end.
  std::optional<Unit> take();
  void done(Unit unit);

  /// Seconds that loaders have worked since the previous call, summed over the loaders.
  double take_load_s() {
    const double all_s = prefetcher_.load_s();
    return all_s - std::exchange(told_load_s_, all_s);
  }

 private:
  void top_up();
  Unit stage(std::unique_ptr<LoadedBatch> loaded);

  const Training& training_;
  DeviceStreams& streams_;
  Next next_;
  std::size_t ahead_, in_hand_ = 0;
  bool ended_ = false;
  double told_load_s_ = 0;
  std::optional<Unit> staged_;
  Prefetcher prefetcher_; ///< last member: its loaders end first
};

/// The job's targets for rows on the host, checked. Throws Error.
std::vector<torch::Tensor> targets_of(const Training& training, const Batch& rows);

/// Rows [begin, end) of a batch; views, nothing is copied.
Batch rows_of(const Batch& batch, std::int64_t begin, std::int64_t end);

} // namespace mgpu::worker::train
