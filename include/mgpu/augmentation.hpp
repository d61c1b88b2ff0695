#pragma once
#include <string>

namespace mgpu {

/// Strength of each kind of augmentation in training; 0 disables the kind.
struct Augmentation {
  double crop = 0;           ///< smallest share of a picture's area that is kept; width : height from 3:4 to 4:3
  double flip = 0;           ///< probability of mirroring left and right
  double colour = 0;         ///< brightness, contrast and saturation are multiplied by a factor from 1 − colour to 1 + colour
  double time_mask = 0;      ///< two spans are masked; each is up to this share of the recording
  double frequency_mask = 0; ///< two bands are masked; each is up to this share of the mel bands
  double gain = 0;           ///< largest change of the level in either direction, dB

  bool any() const { return crop > 0 || flip > 0 || colour > 0 || time_mask > 0 || frequency_mask > 0 || gain > 0; }
  bool operator==(const Augmentation&) const = default;

  /// Reads the option `augment`: words separated by ',', each with an optional amount: "crop,flip,colour=0.2".
  ///   pictures    crop=0.08 flip=0.5 colour=0.4      recordings  time_mask=0.1 frequency_mask=0.2 (log-mel only) gain=6
  ///   auto        all kinds for the medium; "" and none: no augmentation
  /// Throws usage_error with the word.
  static Augmentation read(const std::string& text, bool pictures);
};

} // namespace mgpu
