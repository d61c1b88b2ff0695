#pragma once
#include <cstdint>

#include "common/wire/training_messages.hpp"
#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"
#include "worker/train/data_feeds.hpp"
#include "worker/train/environment.hpp"
#include "worker/train/skipped_items.hpp"

namespace mgpu::worker::train {

/// Evaluates the network on the validation set: each rank evaluates its share, the sums are added over all ranks.
class Validation {
 public:
  /// All must outlive this object.
  Validation(const Environment& environment, const DataFeeds& feeds, const DataSets& data, SkippedItems& skipped)
      : environment_(environment), feeds_(feeds), data_(data), skipped_(skipped) {}
  /// Means over the whole set and by class, equal on all ranks, which call this together. `batch_size`: rows evaluated at once.
  /// The caller sets step, epoch, time and `best`.
  wire::Metrics run(collective::Exchange& exchange, std::int64_t batch_size);

 private:
  void evaluate_share(std::int64_t batch_size, Sums& sums);

  const Environment& environment_;
  const DataFeeds& feeds_;
  const DataSets& data_;
  SkippedItems& skipped_;
};

} // namespace mgpu::worker::train
