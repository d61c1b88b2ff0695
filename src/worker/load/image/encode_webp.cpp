#include <webp/encode.h>

#include <memory>
#include <string>
#include <vector>

#include "mgpu/error.hpp"
#include "mgpu/picture.hpp"
#include "worker/load/image/check_picture.hpp"

namespace mgpu {

namespace {

/// `call(rgb, &bytes)` is one of libwebp's encoding functions and returns the number of bytes, 0 on failure.
template <typename Call>
std::string encode(const Picture& picture, const Call& call) {
  worker::load::check_picture(picture, "a WebP", WEBP_MAX_DIMENSION);
  std::vector<std::uint8_t> colours; // WebP has no grey
  if (picture.channels == 1) {
    colours.reserve(picture.pixels.size() * 3);
    for (const std::uint8_t value : picture.pixels) colours.insert(colours.end(), 3, value);
  }
  std::uint8_t* bytes = nullptr;
  const std::size_t size = call(picture.channels == 1 ? colours.data() : picture.pixels.data(), &bytes);
  const std::unique_ptr<std::uint8_t, decltype(&WebPFree)> owner(bytes, WebPFree);
  if (size == 0)
    throw Error("WebP: no memory, or the first partition of the file exceeds 512 KB; a lower quality makes it smaller");
  return {reinterpret_cast<const char*>(bytes), size};
}

} // namespace

std::string encode_webp(const Picture& picture, int quality) {
  worker::load::check_quality(quality, "a WebP");
  return encode(picture, [&](const std::uint8_t* rgb, std::uint8_t** bytes) {
    return WebPEncodeRGB(rgb, picture.width, picture.height, picture.width * 3, static_cast<float>(quality), bytes);
  });
}

std::string encode_webp_lossless(const Picture& picture) {
  return encode(picture, [&](const std::uint8_t* rgb, std::uint8_t** bytes) {
    return WebPEncodeLosslessRGB(rgb, picture.width, picture.height, picture.width * 3, bytes);
  });
}

} // namespace mgpu
