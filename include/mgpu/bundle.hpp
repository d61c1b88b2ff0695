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
/// Filters of a resize. lanczos has a support of 3 pixels, as Pillow's LANCZOS.
enum class Interpolation : std::uint8_t { bilinear, bicubic, nearest, lanczos };

/// Conversion of 16-bit grey values to 8 bits. clip: clipped at 255, as Pillow's convert does. scale: divided by 257 and rounded, which
/// keeps the whole range.
enum class Grey16 : std::uint8_t { clip, scale };

/// Preprocessing of pictures: `"image"` of bundle.json (docs/bundles.md).
struct ImageSpec {
  int height = 224, width = 224; ///< size of the model's input, pixels
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

/// Preprocessing of recordings: `"audio"` of bundle.json.
struct AudioSpec {
  int sample_rate = 16000;       ///< Hz
  int channels = 1;              ///< 1: all channels are averaged; more: the file has as many channels, or one, which is repeated
  std::optional<double> seconds; ///< length to which recordings are cut or zero-padded; nullopt: the whole file
  AudioFeatures features = AudioFeatures::waveform;
  int mels = 80, n_fft = 400, hop = 160;
};

/// Meaning of a speech network's frames: keys of bundle.json besides `"task": "ctc"`. Output 0 is [B, T, V] log-probabilities.
struct CtcSpec {
  std::vector<std::string> vocabulary; ///< [V] text of each class, UTF-8; a space separates words; the blank's is not used
  std::int64_t blank = 0;              ///< index of CTC's blank class
  double frame_seconds = 0;            ///< time from one output frame to the next, seconds
};

/// Layout of a YOLO network's output. v8: [B, 4 + C, N]; v5: [B, N, 5 + C], with an objectness.
enum class YoloLayout : std::uint8_t { v8, v5 };

/// Meaning of a detector's output 0: `"detection"` of bundle.json, with `"task": "detection"` (mgpu/detection_heads.hpp).
struct DetectionSpec {
  std::optional<YoloLayout> yolo; ///< `"decode": "yolo"` and `"layout"`; nullopt: rows [B, M, 6] of finished detections
  std::int64_t classes = 0;       ///< number of classes; 0: not known (never with yolo)
  double score = 0;               ///< detections with a higher score are kept
  double iou = 0.7;               ///< yolo: largest overlap of two boxes of a class
  std::int64_t max = 0;           ///< most detections per picture; 0: all
};

/// A model and its preprocessing (schema mgpu-bundle/1), from a folder's bundle.json, from the bundle.json inside a `.pt`, or from flags.
struct Bundle {
  std::string folder;             ///< "" unless read from a folder
  std::string model;              ///< path of the model file
  std::optional<ImageSpec> image; ///< at most one of image and audio is set
  std::optional<AudioSpec> audio;
  std::vector<std::string> outputs;       ///< names of the model's outputs, in order; may be empty
  std::vector<std::string> labels;        ///< class names; may be empty
  std::string task;                       ///< "", "classification", "detection", "ctc", …
  std::optional<CtcSpec> ctc;             ///< set when task is "ctc"
  std::optional<DetectionSpec> detection; ///< set when task is "detection"
  nlohmann::json json;                    ///< the whole bundle.json, for additional keys of a job

  /// Opens a bundle folder or its bundle.json, or FILE.pt/.pt2. A FILE.pt that `train` wrote has its bundle.json inside; any other file
  /// needs the flags `image-size` or `sample-rate` of `config`. Flags override keys. Throws usage_error with the file and the key. An
  /// unknown key is an error: a typo must not become a default.
  static Bundle open(const std::string& path, const Config& config);

  /// bundle.json with all values (also those of flags and label files), to be stored in a model file.
  nlohmann::json embedded_json() const;
};

} // namespace mgpu
