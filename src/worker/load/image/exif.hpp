#pragma once
#include <cstdint>
#include <span>

namespace mgpu::worker::load {

/// Orientation (1..8) from an EXIF block (a TIFF header, with or without "Exif\0\0" before it), else from XMP text, as in
/// Pillow's exif_transpose; 1 if neither has it. Either block may be empty.
int orientation_of(std::span<const std::uint8_t> exif, std::span<const std::uint8_t> xmp = {});

} // namespace mgpu::worker::load
