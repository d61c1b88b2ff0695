#pragma once
#include "load/picture_decoder.hpp"

namespace mgpu::load {

/// Whether an EXIF orientation exchanges width and height.
inline bool swaps_axes(int orientation) { return orientation >= 5; }

/// Decodes a window given in oriented pixels (the picture as it is meant to be seen) and hands its rows to the sink.
void decode_oriented(PictureDecoder& decoder, const Window& window, RowSink& sink);

/// Pillow's RGB → L.
inline std::uint8_t luma(const std::uint8_t* rgbx) {
  return static_cast<std::uint8_t>((rgbx[0] * 19595u + rgbx[1] * 38470u + rgbx[2] * 7471u + 0x8000u) >> 16);
}

} // namespace mgpu::load
