#pragma once
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/config.hpp"

namespace mgpu {

enum class Resize : std::uint8_t { shorter, exact, letterbox, none };
enum class Interpolation : std::uint8_t { bilinear, bicubic, nearest };

/// What becomes of 16-bit grey values: clipped at 255, as Pillow's convert does, or divided by 257 and rounded, so that the whole range
/// is kept.
enum class Grey16 : std::uint8_t { clip, scale };

/// How a picture becomes a model's input: `"image"` of bundle.json (docs/bundles.md).
struct ImageSpec {
  int height = 224, width = 224; ///< what the model sees, pixels
  Resize resize = Resize::shorter;
  int resize_to = 0; ///< shorter side after resizing, pixels; 0: the smaller of height and width
  bool center_crop = true;
  Interpolation interpolation = Interpolation::bilinear;
  bool antialias = true;
  int channels = 3; ///< 3: RGB, 1: luma
  Grey16 grey16 = Grey16::clip;
  double scale = 1.0 / 255.0;        ///< value = (byte * scale - mean) / std
  std::vector<double> mean{0, 0, 0}; ///< [channels]
  std::vector<double> std{1, 1, 1};  ///< [channels]
};

enum class AudioFeatures : std::uint8_t { waveform, log_mel };

/// How a recording becomes a model's input: `"audio"` of bundle.json.
struct AudioSpec {
  int sample_rate = 16000;       ///< Hz
  int channels = 1;              ///< 1: all channels averaged
  std::optional<double> seconds; ///< cut or zero-padded to this; nullopt: the whole file
  AudioFeatures features = AudioFeatures::waveform;
  int mels = 80, n_fft = 400, hop = 160;
};

/// What a speech network's frames say: keys of bundle.json beside `"task": "ctc"`. Output 0 is [B, T, V] log-probabilities.
struct CtcSpec {
  std::vector<std::string> vocabulary; ///< [V] text of each class, UTF-8; a space parts words; the blank's is not used
  std::int64_t blank = 0;              ///< the class that says nothing
  double frame_seconds = 0;            ///< from one output frame to the next
};

/// A model and how to feed it (schema mgpu-bundle/1). Either read from a folder's bundle.json or made from flags.
struct Bundle {
  std::string folder;             ///< "" when made from flags
  std::string model;              ///< path of the model file
  std::optional<ImageSpec> image; ///< exactly one of image and audio is set
  std::optional<AudioSpec> audio;
  std::vector<std::string> outputs; ///< names of the model's outputs, in order; may be empty
  std::vector<std::string> labels;  ///< class names; may be empty
  std::string task;                 ///< "", "classification", "detection", "ctc", …
  std::optional<CtcSpec> ctc;       ///< set when task is "ctc"
  nlohmann::json json;              ///< the whole file, for keys of a job's own

  /// Reads FOLDER/bundle.json, or takes FILE.pt/.pt2 with the flags `image-size`, `resize-to`, `mean`, `std`, `sample-rate`, … of
  /// `config`. Throws usage_error naming the file and key. Unknown keys at known levels are errors: a typo must not become a default.
  /// A FILE.pt that `train` wrote has its bundle.json inside.
  static Bundle open(const std::string& path, const Config& config);

  /// bundle.json with everything in it (flags and label files too), for writing into a model file.
  nlohmann::json embedded_json() const;
};

} // namespace mgpu
