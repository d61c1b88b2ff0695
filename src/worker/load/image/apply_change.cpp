#include <algorithm>
#include <cstring>
#include <vector>

#include "worker/load/augment.hpp"
#include "worker/load/image/kernels.hpp"
#include "worker/load/image/normalisation.hpp"
#include "worker/load/image/picture_decoder.hpp"
#include "worker/load/image/row_resampler.hpp"
#include "worker/load/image/spread.hpp"

namespace mgpu::worker::load {

namespace {

/// Buffers of one thread, reused between pictures.
struct Scratch {
  std::vector<std::uint8_t> source_row; ///< one row of the crop as RGBX
  ResampleMemory resample;
};

Scratch& scratch() {
  thread_local Scratch kept;
  return kept;
}

void mirror(std::uint8_t* rgbx, int count) {
  for (int i = 0, j = count - 1; i < j; ++i, --j) {
    std::uint32_t left = 0, right = 0;
    std::memcpy(&left, rgbx + i * 4, 4);
    std::memcpy(&right, rgbx + j * 4, 4);
    std::memcpy(rgbx + i * 4, &right, 4);
    std::memcpy(rgbx + j * 4, &left, 4);
  }
}

/// Resizes the crop with Pillow's integer arithmetic, row by row; `row(y, rgbx)` gets every row of the result.
template <typename Row>
void resize_crop(const PictureChange& change, const std::uint8_t* pixels, int width, const ImageSpec& spec, const Row& row) {
  Scratch& memory = scratch();
  Axis &horizontal = memory.resample.horizontal, &vertical = memory.resample.vertical;
  horizontal.prepare(whole_axis(change.width, spec.width, Interpolation::bilinear));
  vertical.prepare(whole_axis(change.height, spec.height, Interpolation::bilinear));
  const int columns = horizontal.source_end() - horizontal.source_begin();
  memory.source_row.resize(static_cast<std::size_t>(columns) * 4 + row_slack);
  RowResampler resampler(memory.resample);
  for (int y = vertical.source_begin(); y < vertical.source_end(); ++y) {
    const std::size_t at = static_cast<std::size_t>(change.top + y) * static_cast<std::size_t>(width) +
                           static_cast<std::size_t>(change.left + horizontal.source_begin());
    spread(pixels + at * static_cast<std::size_t>(spec.channels), columns, spec.channels, memory.source_row.data());
    resampler.row(memory.source_row.data(), [&](int out_y, std::uint8_t* rgbx) {
      if (change.flip) mirror(rgbx, spec.width);
      row(out_y, rgbx);
    });
  }
}

/// Planes of floats in [0, 1], changed in place as by torchvision's adjust_… functions.
class Colours {
 public:
  Colours(float* planes, std::size_t plane, int channels) : planes_(planes), plane_(plane), channels_(channels) {}

  void brightness(float factor) {
    for (std::size_t i = 0; i < plane_ * static_cast<std::size_t>(channels_); ++i) planes_[i] = bounded(planes_[i] * factor);
  }
  void contrast(float factor) {
    double sum = 0;
    for (std::size_t i = 0; i < plane_; ++i) sum += static_cast<double>(grey(i));
    const float rest = static_cast<float>(sum / static_cast<double>(plane_)) * (1 - factor);
    for (std::size_t i = 0; i < plane_ * static_cast<std::size_t>(channels_); ++i)
      planes_[i] = bounded(planes_[i] * factor + rest);
  }
  void saturation(float factor) {
    if (channels_ == 1) return;
    for (std::size_t i = 0; i < plane_; ++i) {
      const float rest = grey(i) * (1 - factor);
      for (std::size_t c = 0; c < 3; ++c) planes_[c * plane_ + i] = bounded(planes_[c * plane_ + i] * factor + rest);
    }
  }

 private:
  static float bounded(float value) { return std::min(std::max(value, 0.0f), 1.0f); }
  float grey(std::size_t i) const {
    if (channels_ == 1) return planes_[i];
    return 0.2989f * planes_[i] + 0.587f * planes_[plane_ + i] + 0.114f * planes_[2 * plane_ + i];
  }

  float* planes_;
  std::size_t plane_;
  int channels_;
};

} // namespace

void apply_change(const PictureChange& change, const std::uint8_t* pixels, int width, const ImageSpec& spec, float* out) {
  const std::size_t plane = static_cast<std::size_t>(spec.height) * static_cast<std::size_t>(spec.width);
  const Normalisation model(spec);
  Normalisation unit; // colours are changed in [0, 1]
  std::fill(unit.factor, unit.factor + 3, 1.0f / 255.0f);
  const Normalisation& first = change.colours ? unit : model;
  resize_crop(change, pixels, width, spec, [&](int y, const std::uint8_t* rgbx) {
    float* planes[3] = {};
    for (int c = 0; c < spec.channels; ++c)
      planes[c] = out + static_cast<std::size_t>(c) * plane + static_cast<std::size_t>(y) * static_cast<std::size_t>(spec.width);
    kernels().normalise(rgbx, spec.width, spec.channels, first.factor, first.offset, planes);
  });
  if (!change.colours) return;
  Colours colours(out, plane, spec.channels);
  for (const int which : change.order) {
    const auto factor = static_cast<float>(change.factor[static_cast<std::size_t>(which)]);
    if (which == 0)
      colours.brightness(factor);
    else if (which == 1)
      colours.contrast(factor);
    else
      colours.saturation(factor);
  }
  for (std::size_t c = 0; c < static_cast<std::size_t>(spec.channels); ++c) {
    const float factor = model.factor[c] * 255.0f, offset = model.offset[c];
    for (std::size_t i = c * plane; i < (c + 1) * plane; ++i) out[i] = out[i] * factor - offset;
  }
}

} // namespace mgpu::worker::load
