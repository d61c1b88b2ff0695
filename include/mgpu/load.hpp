#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/config.hpp"
#include "mgpu/item.hpp"
#include "mgpu/picture.hpp"
#include "mgpu/placement.hpp"

namespace mgpu {

/// Limits of one file. A file beyond them is refused, as early as its header allows.
struct LoadLimits {
  std::uint64_t file_bytes = 4ull << 30;
  std::uint64_t pixels = 200'000'000; ///< width × height
  double audio_seconds = 4 * 3600.0;
  std::uint64_t memory_bytes = 4'000'000'000; ///< memory for decoding besides the file: whole pictures, a recording's samples

  /// The options max-file-bytes, max-pixels, max-audio-seconds and max-item-memory; the defaults above for those that are missing.
  static LoadLimits of(const Config& config);
};

/// Format of prepared pixels.
enum class PixelForm : std::uint8_t {
  float_chw, ///< float32 [C, H, W], scaled and normalised: the model's input
  uint8_hwc, ///< uint8 [H, W, C], resized and cropped only: a quarter of the bytes; normalised on the device
};

/// Decodes, orients (EXIF), converts, resizes, crops and normalises one picture in one pass, with the results of Pillow + torchvision
/// (tolerances: docs/preprocessing.md). Thread-safe; each calling thread has its own scratch memory.
class ImageLoader {
 public:
  ImageLoader(ImageSpec spec, PixelForm form, LoadLimits limits = {});
  ~ImageLoader();
  ImageLoader(const ImageLoader&) = delete;
  ImageLoader& operator=(const ImageLoader&) = delete;

  const ImageSpec& spec() const;
  /// Number of bytes that `load` writes.
  std::uint64_t row_bytes() const;
  /// Writes the prepared picture to `out`, row_bytes() long, and returns where the picture lies in it. With Resize::none the picture must
  /// have the model's size. Throws Error with the reason ("not a picture: …", "truncated JPEG …", "60000x60000 pixels, limit …").
  Placement load(const Item& item, void* out) const;
  /// Remarks on the pictures so far, for Work::remarks and Training::remarks: the number of pictures whose 16-bit grey values were clipped
  /// at 255 (Grey16::clip).
  std::vector<std::string> remarks() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Decodes a whole picture, oriented, as 8-bit RGB (channels 3) or grey (channels 1). Throws Error with the reason.
Picture decode_picture(const Item& item, int channels, const LoadLimits& limits = {});

/// Decodes recordings with FFmpeg's libraries, mixes channels and resamples. Log-mel features are those of Whisper. Thread-safe.
class AudioLoader {
 public:
  AudioLoader(AudioSpec spec, LoadLimits limits = {});
  const AudioSpec& spec() const { return spec_; }
  /// Returns the waveform [channels, T] in [-1, 1], or log-mel features [mels, frames], row-major; sets `length` to T or frames.
  /// Throws Error with the reason ("no audio stream", "zero samples", "36000 s long, limit 14400 s").
  std::vector<float> load(const Item& item, std::int64_t& length) const;

 private:
  AudioSpec spec_;
  LoadLimits limits_;
};

/// Log-mel spectrogram [mels, frames], row-major, frames = samples / hop; Whisper's definition: periodic Hann window, centred
/// frames with reflected ends, |STFT|², Slaney mel filters, log10 clamped at 1e-10, floored at max − 8, (x + 4) / 4.
/// Source: github.com/openai/whisper, audio.py (log_mel_spectrogram).
std::vector<float> log_mel(const float* samples, std::int64_t count, const AudioSpec& spec);

} // namespace mgpu
