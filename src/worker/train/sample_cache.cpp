#include "worker/train/sample_cache.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <mutex>

#include "mgpu/error.hpp"

namespace mgpu::worker::train {

namespace {

constexpr std::uint64_t entry_bytes = 160; // approximate size of the map's node, pointers and counters per entry
constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

/// The number in a file; `otherwise` if there is none ("max", no such file).
std::uint64_t number_in(const char* path, std::uint64_t otherwise) {
  std::uint64_t value = 0;
  return std::ifstream(path) >> value ? value : otherwise;
}

std::uint64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::uint64_t kilobytes = 0;
  while (file >> word)
    if (word == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
  throw Error("--cache auto: /proc/meminfo does not say what memory is available; give MB");
}

/// Memory that the control group still permits, for version 2, then 1.
std::uint64_t allowed_bytes() {
  const auto rest = [](const char* limit_file, const char* used_file) {
    const std::uint64_t limit = number_in(limit_file, unlimited), used = number_in(used_file, 0);
    return limit == unlimited ? unlimited : limit - std::min(limit, used);
  };
  return std::min(rest("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                  rest("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"));
}

} // namespace

std::shared_ptr<const Decoded> SampleCache::find(const std::string& key) const {
  if (limit_bytes_ == 0) return nullptr;
  const std::shared_lock lock(mutex_);
  const auto found = kept_.find(key);
  return found == kept_.end() ? nullptr : found->second;
}

void SampleCache::offer(const std::string& key, const std::shared_ptr<const Decoded>& decoded) {
  const std::uint64_t bytes = decoded->bytes.capacity() + key.capacity() + entry_bytes;
  if (bytes > limit_bytes_) return;
  const std::unique_lock lock(mutex_);
  if (bytes_ + bytes <= limit_bytes_ && kept_.try_emplace(key, decoded).second) bytes_ += bytes;
}

std::uint64_t SampleCache::items() const {
  const std::shared_lock lock(mutex_);
  return kept_.size();
}

std::uint64_t SampleCache::bytes() const {
  const std::shared_lock lock(mutex_);
  return bytes_;
}

std::uint64_t cache_limit(const std::string& option, int local_ranks) {
  if (option == "none") return 0;
  if (option == "auto")
    return std::min(available_bytes(), allowed_bytes()) / 4 / static_cast<std::uint64_t>(std::max(1, local_ranks));
  double megabytes = 0;
  const auto [end, problem] = std::from_chars(option.data(), option.data() + option.size(), megabytes);
  if (problem != std::errc() || end != option.data() + option.size() || !(megabytes >= 0 && megabytes < 1e9))
    throw usage_error(fmt::format("--cache {}: auto, none, or a number of MB", option));
  return static_cast<std::uint64_t>(megabytes * 1e6);
}

} // namespace mgpu::worker::train
