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
  std::int64_t length = 0;         ///< of a recording: samples or frames
};

/// Decoded items in memory, bounded, kept in order of arrival: nothing is thrown out, because an epoch visits every item once, and what
/// was kept first is as good as what came last. Thread-safe.
class SampleCache {
 public:
  explicit SampleCache(std::uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// nullptr when it is not kept.
  std::shared_ptr<const Decoded> find(const std::string& key) const;
  /// Keeps it if there is room.
  void offer(const std::string& key, const std::shared_ptr<const Decoded>& decoded);

  std::uint64_t limit_bytes() const { return limit_bytes_; }
  std::uint64_t items() const;
  std::uint64_t bytes() const;

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Decoded>> kept_;
  std::uint64_t limit_bytes_, bytes_ = 0;
};

/// Option `cache` in bytes: "none", MB, or "auto": a quarter of the memory that is free on this node (MemAvailable, and what the
/// control group allows), divided by its ranks. Throws usage_error.
std::uint64_t cache_limit(const std::string& option, int local_ranks);

} // namespace mgpu::worker::train
