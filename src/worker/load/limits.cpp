#include "mgpu/load.hpp"

namespace mgpu {

LoadLimits LoadLimits::of(const Config& config) {
  LoadLimits limits;
  if (config.has("max-file-bytes")) limits.file_bytes = static_cast<std::uint64_t>(config.get<double>("max-file-bytes"));
  if (config.has("max-pixels")) limits.pixels = static_cast<std::uint64_t>(config.get<double>("max-pixels"));
  if (config.has("max-audio-seconds")) limits.audio_seconds = config.get<double>("max-audio-seconds");
  if (config.has("max-item-memory")) limits.memory_bytes = static_cast<std::uint64_t>(config.get<double>("max-item-memory"));
  return limits;
}

} // namespace mgpu
