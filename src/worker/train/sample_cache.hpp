#pragma once
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace mgpu::worker::train {

/// A decoded item.
struct Decoded {
  std::vector<std::uint8_t> bytes; ///< pixels, or floats of a recording
  std::int64_t length = 0;         ///< of a recording: number of samples or frames
};

/// A bounded cache of decoded items, filled in the order of arrival. Nothing is evicted, because an epoch visits every item once:
/// an earlier item is as useful as a later one. Thread-safe.
class SampleCache {
 public:
  explicit SampleCache(std::uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// nullptr if it is not cached.
  std::shared_ptr<const Decoded> find(const std::string& key) const;
  /// Adds it if there is space.
  void offer(const std::string& key, const std::shared_ptr<const Decoded>& decoded);

  std::uint64_t limit_bytes() const { return limit_bytes_; }
  std::uint64_t items() const;
  std::uint64_t bytes() const;

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Decoded>> kept_;
  std::uint64_t limit_bytes_, bytes_ = 0;
};

/// Option `cache` in bytes: "none", MB, or "auto": a quarter of this node's free memory (MemAvailable, within the limit of the
/// control group), divided by its ranks. Throws usage_error.
std::uint64_t cache_limit(const std::string& option, int local_ranks);

} // namespace mgpu::worker::train
