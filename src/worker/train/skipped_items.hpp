#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <utility>

#include "common/wire/training_messages.hpp"
#include "worker/batch/loaded_batch.hpp"

namespace mgpu::worker::train {

/// Reports items that cannot be used, each once per training, not once per epoch.
class SkippedItems {
 public:
  explicit SkippedItems(std::function<void(const wire::Skipped&)> send) : send_(std::move(send)) {}
  /// Reports the failed rows of a batch of `part`.
  void report(const LoadedBatch& loaded, wire::DataPart part);

 private:
  std::function<void(const wire::Skipped&)> send_;
  std::set<std::pair<wire::DataPart, std::uint64_t>> reported_;
};

} // namespace mgpu::worker::train
