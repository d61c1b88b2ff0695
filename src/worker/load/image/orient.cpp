#include "worker/load/image/orient.hpp"

#include <cstring>
#include <vector>

namespace mgpu::worker::load {
namespace {

/// The stored pixels of a window, for reading in another order.
class Collected final : public RowSink {
 public:
  Collected(std::vector<std::uint8_t>& bytes, int width, int height)
      : bytes_(bytes), stride_(static_cast<std::size_t>(width) * 4) {
    bytes_.resize(stride_ * static_cast<std::size_t>(height));
  }
  void row(const std::uint8_t* rgbx) override {
    std::memcpy(bytes_.data() + filled_, rgbx, stride_);
    filled_ += stride_;
  }
  const std::uint8_t* pixel(int x, int y) const {
    return bytes_.data() + static_cast<std::size_t>(y) * stride_ + static_cast<std::size_t>(x) * 4;
  }

 private:
  std::vector<std::uint8_t>& bytes_;
  std::size_t stride_, filled_ = 0;
};

} // namespace

OrientationSteps steps_of(int orientation) {
  switch (orientation) {
    case 2:
      return {false, true, false};
    case 3:
      return {false, true, true};
    case 4:
      return {false, false, true};
    case 5:
      return {true, false, false};
    case 6:
      return {true, true, false};
    case 7:
      return {true, true, true};
    case 8:
      return {true, false, true};
    default:
      return {false, false, false};
  }
}

void decode_oriented(PictureDecoder& decoder, const Window& window, RowSink& sink, const LoadLimits& limits) {
  const OrientationSteps steps = steps_of(decoder.orientation());
  if (!steps.transpose && !steps.flip_x && !steps.flip_y) return decoder.decode(window, sink);

  const int seen_width = steps.transpose ? decoder.height() : decoder.width();
  const int seen_height = steps.transpose ? decoder.width() : decoder.height();
  Window stored = window;
  if (steps.flip_x) stored.x0 = seen_width - window.x1, stored.x1 = seen_width - window.x0;
  if (steps.flip_y) stored.y0 = seen_height - window.y1, stored.y1 = seen_height - window.y0;
  if (steps.transpose) stored = {stored.y0, stored.x0, stored.y1, stored.x1};

  check_memory("turning the picture",
               std::uint64_t{4} * static_cast<std::uint64_t>(stored.width()) * static_cast<std::uint64_t>(stored.height()),
               limits);
  thread_local std::vector<std::uint8_t> memory, row;
  Collected collected(memory, stored.width(), stored.height());
  decoder.decode(stored, collected);
  row.resize(static_cast<std::size_t>(window.width()) * 4 + row_slack);
  for (int y = 0; y < window.height(); ++y) {
    const int v = steps.flip_y ? window.height() - 1 - y : y;
    for (int x = 0; x < window.width(); ++x) {
      const int u = steps.flip_x ? window.width() - 1 - x : x;
      std::memcpy(row.data() + static_cast<std::size_t>(x) * 4, steps.transpose ? collected.pixel(v, u) : collected.pixel(u, v),
                  4);
    }
    sink.row(row.data());
  }
}

} // namespace mgpu::worker::load
