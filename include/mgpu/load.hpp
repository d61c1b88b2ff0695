#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/config.hpp"
#include "mgpu/item.hpp"

namespace mgpu {

/// Refused before decoding: one file must not take the memory of a rank.
struct LoadLimits {
  std::uint64_t file_bytes = 4ull << 30;
  std::uint64_t pixels = 200'000'000; ///< width × height
  double audio_seconds = 4 * 3600.0;
  std::uint64_t memory_bytes = 4'000'000'000; ///< what decoding may take beside the file: whole pictures, a recording's samples

  /// Options max-file-bytes, max-pixels, max-audio-seconds and max-item-memory, where the job has them.
  static LoadLimits of(const Config& config);
};

/// 8-bit picture, row-major HWC, RGB or grey.
struct Picture {
  int height = 0, width = 0, channels = 3;
  std::vector<std::uint8_t> pixels; ///< [height × width × channels]
};

/// What prepared pixels look like.
enum class PixelForm : std::uint8_t {
  float_chw, ///< float32 [C, H, W], scaled and normalised: what the model sees
  uint8_hwc, ///< uint8 [H, W, C], resized and cropped only: 4 × smaller; normalised on the device
};

/// Decodes, orients (EXIF), converts, resizes, crops and normalises one picture in one pass, as Pillow + torchvision would
/// (tolerances: docs/preprocessing.md). Thread-safe; each calling thread keeps its own scratch memory.
class ImageLoader {
 public:
  ImageLoader(ImageSpec spec, PixelForm form, LoadLimits limits = {});
  ~ImageLoader();
  ImageLoader(const ImageLoader&) = delete;
  ImageLoader& operator=(const ImageLoader&) = delete;

  const ImageSpec& spec() const;
  /// Bytes `load` writes.
  std::uint64_t row_bytes() const;
  /// Writes the prepared picture to `out`, row_bytes() long. With Resize::none the picture must have the model's size.
  /// Throws Error whose text is the reason ("not a picture: …", "truncated JPEG …", "60000×60000 pixels, limit …").
  void load(const Item& item, void* out) const;
  /// What a person should know of the pictures so far, for Work::remarks and Training::remarks: that 16-bit grey values were clipped at 255
  /// (Grey16::clip), and how often.
  std::vector<std::string> remarks() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A whole picture, oriented, as 8-bit RGB (channels 3) or grey (channels 1). Throws Error with the reason.
Picture decode_picture(const Item& item, int channels, const LoadLimits& limits = {});

/// Decodes, mixes and resamples recordings with FFmpeg's libraries; log-mel as Whisper's feature extractor computes it. Thread-safe.
class AudioLoader {
 public:
  AudioLoader(AudioSpec spec, LoadLimits limits = {});
  const AudioSpec& spec() const { return spec_; }
  /// Waveform [channels, T] in [-1, 1], or log-mel [mels, frames], row-major; `length` is T or frames.
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
