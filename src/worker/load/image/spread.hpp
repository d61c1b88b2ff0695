#pragma once
#include <cstdint>

namespace mgpu::worker::load {

/// `count` pixels of 1 or 3 bytes as RGBX, the resampler's form. Grey fills the first byte only.
inline void spread(const std::uint8_t* pixels, int count, int channels, std::uint8_t* rgbx) {
  if (channels == 1) {
    for (int i = 0; i < count; ++i) rgbx[i * 4] = pixels[i];
    return;
  }
  for (int i = 0; i < count; ++i, pixels += 3, rgbx += 4) {
    rgbx[0] = pixels[0];
    rgbx[1] = pixels[1];
    rgbx[2] = pixels[2];
  }
}

} // namespace mgpu::worker::load
