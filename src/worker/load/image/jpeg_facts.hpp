#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "mgpu/load.hpp"

namespace mgpu::worker::load {

/// The header of a JPEG, for decoders other than libjpeg.
struct JpegFacts {
  int width = 0, height = 0; ///< as stored, before `orientation` is applied
  int orientation = 1;       ///< EXIF 1..8
  bool inks = false;         ///< four components: CMYK or YCCK
  bool plain_colour = true;  ///< grey or YCbCr, the usual case; false: RGB or another colour space
  bool arithmetic = false;   ///< arithmetic coding instead of Huffman coding
  bool whole = true;         ///< an end-of-image marker follows the header
};

/// Reads the header of a JPEG; nullopt if it is not one. Throws Error for an unusable header or more pixels than the limit, with
/// the same reasons as ImageLoader.
std::optional<JpegFacts> jpeg_facts(std::span<const std::uint8_t> bytes, const LoadLimits& limits);

/// Maximum number of pixels for decoding on the GPU: resizing needs 24 bytes of its memory per pixel, for each loader thread.
inline constexpr std::uint64_t nvjpeg_pixels = 64'000'000;

/// Why a picture is not decoded by nvJPEG, as counted in the log ("CMYK JPEG"); "" if it is. `facts`: jpeg_facts of its bytes.
std::string_view nvjpeg_obstacle(const std::optional<JpegFacts>& facts);

} // namespace mgpu::worker::load
