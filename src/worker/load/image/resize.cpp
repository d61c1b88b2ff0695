#include <fmt/format.h>

#include <limits>

#include "mgpu/error.hpp"
#include "mgpu/picture.hpp"
#include "worker/load/image/check_picture.hpp"
#include "worker/load/image/picture_decoder.hpp"
#include "worker/load/image/row_resampler.hpp"
#include "worker/load/image/spread.hpp"

namespace mgpu {

using namespace worker::load;

namespace {

void pack(const std::uint8_t* rgbx, int count, int channels, const Kernels& kernels, std::uint8_t* to) {
  if (channels == 3) return kernels.pack_rgb(rgbx, count, to);
  for (int i = 0; i < count; ++i) to[i] = rgbx[i * 4];
}

} // namespace

Picture resize(const Picture& picture, int height, int width, Interpolation filter, bool antialias) {
  check_picture(picture, "a resize", std::numeric_limits<int>::max());
  if (height < 1 || width < 1) throw Error(fmt::format("a picture cannot be resized to {}x{} pixels", width, height));
  thread_local ResampleMemory memory;
  memory.horizontal.prepare(whole_axis(picture.width, width, filter, antialias));
  memory.vertical.prepare(whole_axis(picture.height, height, filter, antialias));
  const Axis &horizontal = memory.horizontal, &vertical = memory.vertical;

  const auto channels = static_cast<std::size_t>(picture.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(width) * channels;
  Picture resized{height, width, picture.channels, std::vector<std::uint8_t>(row_bytes * static_cast<std::size_t>(height))};
  const int columns = horizontal.source_end() - horizontal.source_begin();
  std::vector<std::uint8_t> source(static_cast<std::size_t>(columns) * 4 + row_slack);
  RowResampler resampler(memory);
  for (int y = vertical.source_begin(); y < vertical.source_end(); ++y) {
    const std::size_t at = static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
                           static_cast<std::size_t>(horizontal.source_begin());
    spread(picture.pixels.data() + at * channels, columns, picture.channels, source.data());
    resampler.row(source.data(), [&](int out_y, const std::uint8_t* rgbx) {
      pack(rgbx, width, picture.channels, kernels(), resized.pixels.data() + static_cast<std::size_t>(out_y) * row_bytes);
    });
  }
  return resized;
}

} // namespace mgpu
