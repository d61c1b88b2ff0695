#include "worker/load/image/check_picture.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "mgpu/error.hpp"

namespace mgpu::worker::load {

void check_picture(const Picture& picture, std::string_view what, int longest) {
  if (picture.channels != 1 && picture.channels != 3)
    throw Error(fmt::format("a picture of {} channels; {} has 1 or 3", picture.channels, what));
  if (picture.width < 1 || picture.height < 1)
    throw Error(fmt::format("{}x{} pixels: an empty picture", picture.width, picture.height));
  if (std::max(picture.width, picture.height) > longest)
    throw Error(fmt::format("{}x{} pixels: {} has at most {} on a side", picture.width, picture.height, what, longest));
  const auto bytes = static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height) *
                     static_cast<std::size_t>(picture.channels);
  if (picture.pixels.size() != bytes)
    throw Error(fmt::format("{}x{} pixels of {} channels are {} bytes, the picture has {}", picture.width, picture.height,
                            picture.channels, bytes, picture.pixels.size()));
}

void check_quality(int quality, std::string_view what) {
  if (quality < 1 || quality > 100) throw usage_error(fmt::format("the quality of {} is from 1 to 100, not {}", what, quality));
}

} // namespace mgpu::worker::load
