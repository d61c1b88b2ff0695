#pragma once
#include <string>

namespace mgpu {

/// How strongly training samples are varied; 0 switches a kind off.
struct Augmentation {
  double crop = 0;           ///< least share of a picture's area that is kept; width : height from 3:4 to 4:3
  double flip = 0;           ///< probability of mirroring left and right
  double colour = 0;         ///< brightness, contrast and saturation are multiplied by 1 ± this
  double time_mask = 0;      ///< each of two spans of a recording is up to this share of it
  double frequency_mask = 0; ///< each of two bands is up to this share of the mel bands
  double gain = 0;           ///< dB, up or down

  bool any() const { return crop > 0 || flip > 0 || colour > 0 || time_mask > 0 || frequency_mask > 0 || gain > 0; }
  bool operator==(const Augmentation&) const = default;

  /// The option `augment`: words with ',' between, each with an amount where the default does not suit: "crop,flip,colour=0.2".
  ///   pictures    crop=0.08 flip=0.5 colour=0.4      recordings  time_mask=0.1 frequency_mask=0.2 (log-mel only) gain=6
  ///   auto        all of the medium; "" and none: nothing
  /// Throws usage_error naming the word.
  static Augmentation read(const std::string& text, bool pictures);
};

} // namespace mgpu
