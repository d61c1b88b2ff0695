#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "mgpu/load.hpp"

namespace mgpu::worker::load {

/// The header of a recording.
struct AudioHeader {
  int sample_rate = 0, channels = 0;
  double seconds = 0; ///< 0: unknown
};

/// One recording, read from its path or from shipped bytes with FFmpeg's demuxers and decoders.
class AudioFile {
 public:
  /// Opens the item and its decoder. Throws Error with the reason: unreadable, no recording, no audio stream, no decoder.
  AudioFile(const Item& item, const LoadLimits& limits);
  ~AudioFile();
  AudioFile(const AudioFile&) = delete;
  AudioFile& operator=(const AudioFile&) = delete;

  const AudioHeader& header() const;
  /// Decodes from the start. `take` gets `count` samples of every channel, interleaved, in [-1, 1]; it returns false to stop early.
  /// Call once. Throws Error with the reason: corrupt at a time, a rate or channel count that changes.
  void decode(const std::function<bool(const float* interleaved, std::int64_t count)>& take);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace mgpu::worker::load
