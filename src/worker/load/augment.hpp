#pragma once
// Augmentation of pictures and recordings: drawn from a seed alone, then applied.
#include <array>
#include <cstdint>

#include "mgpu/augmentation.hpp"
#include "mgpu/bundle.hpp"

namespace mgpu::worker::load {

/// The augmentation of one picture. The crop is resized to the model's size (bilinear, antialiased, as in Pillow), mirrored, and
/// its colours are changed in `order` (0 brightness, 1 contrast, 2 saturation), as torchvision does with float tensors.
struct PictureChange {
  int top = 0, left = 0, height = 0, width = 0; ///< pixels
  bool flip = false;
  bool colours = false;
  std::array<int, 3> order{0, 1, 2};
  std::array<double, 3> factor{1, 1, 1}; ///< of brightness, contrast, saturation

  bool operator==(const PictureChange&) const = default;
};

/// Draws the change of a picture of height × width pixels; `strength` multiplies the amounts (a crop's missing area, a flip's
/// probability). With crop: torchvision's RandomResizedCrop. Without: the whole picture.
PictureChange draw_change(const Augmentation& augmentation, double strength, std::uint64_t seed, int height, int width);

/// Makes the model's input, float32 [C, spec.height, spec.width], normalised, from uint8 [any, width, C]. Without crop, flip and
/// colours a picture of the model's size gives exactly ImageLoader's result. Thread-safe.
void apply_change(const PictureChange& change, const std::uint8_t* pixels, int width, const ImageSpec& spec, float* out);

/// SpecAugment (Park et al. 2019) without warping: two bands and two spans of [mels, frames] are set to the mean of the features;
/// gain shifts all features, as for a louder recording (Whisper's scale: 40 dB per unit).
void vary_log_mel(const Augmentation& augmentation, double strength, std::uint64_t seed, int mels, std::int64_t frames,
                  float* features);

/// Gain; two spans of [channels, samples] are set to silence.
void vary_waveform(const Augmentation& augmentation, double strength, std::uint64_t seed, int channels, std::int64_t samples,
                   float* waveform);

} // namespace mgpu::worker::load
