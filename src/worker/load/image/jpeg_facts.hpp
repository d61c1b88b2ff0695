#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "mgpu/load.hpp"

namespace mgpu::worker::load {

/// What a JPEG's header says, for those who have another decoder for it than libjpeg.
struct JpegFacts {
  int width = 0, height = 0; ///< as stored, before `orientation` is applied
  int orientation = 1;       ///< EXIF 1..8
  bool inks = false;         ///< four components: CMYK or YCCK
  bool plain_colour = true;  ///< grey or YCbCr, as nearly all are; false: RGB or something unusual
  bool arithmetic = false;   ///< coded arithmetically instead of by Huffman's method
  bool whole = true;         ///< an end-of-image marker follows the header
};

/// Reads the header of a JPEG; nullopt where the bytes are none. Throws Error for an unusable header or more pixels than the limit,
/// with the reasons that ImageLoader gives.
std::optional<JpegFacts> jpeg_facts(std::span<const std::uint8_t> bytes, const LoadLimits& limits);

/// The most pixels of a picture that is decoded on the GPU: resizing takes 24 bytes a pixel of its memory, for each loader thread.
inline constexpr std::uint64_t nvjpeg_pixels = 64'000'000;

/// Why nvJPEG is not given a picture, as counted in the log ("CMYK JPEG"); "" where it is. `facts`: jpeg_facts of its bytes.
std::string_view nvjpeg_obstacle(const std::optional<JpegFacts>& facts);

} // namespace mgpu::worker::load
