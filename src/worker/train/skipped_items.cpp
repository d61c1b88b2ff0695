#include "worker/train/skipped_items.hpp"

namespace mgpu::worker::train {

void SkippedItems::report(const LoadedBatch& loaded, wire::DataPart part) {
  wire::Skipped skipped;
  for (std::size_t row = 0; row < loaded.rows(); ++row) {
    if (loaded.ok(row)) continue;
    const std::uint64_t index = loaded.range.items[row].index;
    if (reported_.insert({part, index}).second)
      skipped.items.push_back({index, static_cast<std::uint8_t>(part), loaded.errors[row]});
  }
  if (!skipped.items.empty()) send_(skipped);
}

} // namespace mgpu::worker::train
