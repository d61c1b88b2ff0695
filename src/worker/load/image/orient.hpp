#pragma once
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {

/// EXIF orientation as steps from the stored picture to the oriented one: first transpose, then mirror.
struct OrientationSteps {
  bool transpose, flip_x, flip_y;
};

/// Steps of orientation 1..8.
OrientationSteps steps_of(int orientation);

/// Decodes a window in oriented pixels and passes its rows to the sink. A picture that must be turned is kept in memory as a
/// whole: throws Error if that exceeds the limit.
void decode_oriented(PictureDecoder& decoder, const Window& window, RowSink& sink, const LoadLimits& limits);

/// Pillow's RGB → L.
inline std::uint8_t luma(const std::uint8_t* rgbx) {
  return static_cast<std::uint8_t>((rgbx[0] * 19595u + rgbx[1] * 38470u + rgbx[2] * 7471u + 0x8000u) >> 16);
}

} // namespace mgpu::worker::load
