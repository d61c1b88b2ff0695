#include "worker/load/image/jpeg_facts.hpp"

namespace mgpu::worker::load {

std::string_view nvjpeg_obstacle(const std::optional<JpegFacts>& facts) {
  if (!facts) return "no JPEG";
  if (facts->inks) return "CMYK JPEG";
  if (!facts->plain_colour) return "JPEG in an unusual colour space"; // nvJPEG treats any three components as YCbCr
  if (facts->arithmetic) return "arithmetically coded JPEG";
  if (!facts->whole) return "JPEG without an end"; // only libjpeg detects missing rows
  if (static_cast<std::uint64_t>(facts->width) * static_cast<std::uint64_t>(facts->height) > nvjpeg_pixels)
    return "more than 64 million pixels";
  return "";
}

} // namespace mgpu::worker::load
