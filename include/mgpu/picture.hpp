#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"

namespace mgpu {

/// An 8-bit picture, row-major HWC, RGB or grey.
struct Picture {
  int height = 0, width = 0, channels = 3;
  std::vector<std::uint8_t> pixels; ///< [height × width × channels]
};

/// Resizes to height × width with the bits of Pillow's `Image.resize((width, height), filter)`, if `antialias` is true: a pass along x, then
/// one along y, each rounded to bytes. Without it a filter keeps its width when the picture shrinks (docs/preprocessing.md); nearest
/// has no such difference. Thread-safe. Throws Error for an unusable picture (see encode_png) or a side below 1.
Picture resize(const Picture& picture, int height, int width, Interpolation filter, bool antialias = true);

/// These return a whole file. The same picture gives the same bytes with the same version of the library that encodes. They throw Error for
/// a picture without pixels, with other than 1 or 3 channels, whose `pixels` have another size, or with a longer side than the format
/// allows; and usage_error for a quality that is not from 1 to 100.

/// PNG by libpng, 8 bits, grey or RGB, without loss. At most 2³¹ − 1 pixels on a side.
std::string encode_png(const Picture& picture);
/// Baseline JPEG by libjpeg-turbo, grey or YCbCr with 4:2:0 chroma: what Pillow's `save(quality=…)` writes. At most 65,500 pixels on a side.
std::string encode_jpeg(const Picture& picture, int quality = 90);
/// Lossy WebP by libwebp (method 4). Grey is written as RGB. At most 16,383 pixels on a side.
std::string encode_webp(const Picture& picture, int quality = 80);
/// WebP by libwebp without loss.
std::string encode_webp_lossless(const Picture& picture);

} // namespace mgpu
