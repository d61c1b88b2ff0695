#include <algorithm>
#include <cstring>
#include <vector>

#include "worker/load/augment.hpp"
#include "worker/load/image/kernels.hpp"
#include "worker/load/image/normalisation.hpp"
#include "worker/load/image/picture_decoder.hpp"
#include "worker/load/image/resample.hpp"

namespace mgpu::worker::load {

namespace {

/// Buffers of one thread, reused between pictures.
struct Scratch {
  std::vector<std::uint8_t> source_row; ///< one row of the crop as RGBX
  std::vector<std::uint8_t> ring;       ///< rows after the horizontal pass
  std::vector<std::uint8_t> out_row;    ///< one row after the vertical pass
  std::vector<const std::uint8_t*> taps;
  Axis horizontal, vertical;
};

Scratch& scratch() {
  thread_local Scratch kept;
  return kept;
}

void spread(const std::uint8_t* pixels, int count, int channels, std::uint8_t* rgbx) {
  if (channels == 1) {
    for (int i = 0; i < count; ++i) rgbx[i * 4] = pixels[i];
    return;
  }
  for (int i = 0; i < count; ++i, pixels += 3, rgbx += 4) {
    rgbx[0] = pixels[0];
    rgbx[1] = pixels[1];
    rgbx[2] = pixels[2];
  }
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
  const Kernels& kernel = kernels();
  const auto whole = [](int in, int out) {
    return AxisRequest{in, 0, static_cast<double>(in), out, 0, out, Interpolation::bilinear, true};
  };
  memory.horizontal.prepare(whole(change.width, spec.width));
  memory.vertical.prepare(whole(change.height, spec.height));
  memory.horizontal.pack();
  const std::size_t stride = (static_cast<std::size_t>(memory.horizontal.count()) * 4 + 63) / 64 * 64;
  const int taps = memory.vertical.taps(), first_column = memory.horizontal.source_begin();
  const int columns = memory.horizontal.source_end() - first_column;
  memory.source_row.resize(static_cast<std::size_t>(columns) * 4 + row_slack);
  memory.ring.resize(stride * static_cast<std::size_t>(taps));
  memory.out_row.resize(stride);
  memory.taps.resize(static_cast<std::size_t>(taps));
  const auto ring_row = [&](int y) { return memory.ring.data() + stride * static_cast<std::size_t>(y % taps); };
  int next = memory.vertical.source_begin();
  for (int y = 0; y < spec.height; ++y) {
    const int first = memory.vertical.start(y);
    for (next = std::max(next, first); next < first + taps; ++next) {
      const std::size_t at = static_cast<std::size_t>(change.top + next) * static_cast<std::size_t>(width) +
                             static_cast<std::size_t>(change.left + first_column);
      spread(pixels + at * static_cast<std::size_t>(spec.channels), columns, spec.channels, memory.source_row.data());
      kernel.horizontal(memory.source_row.data(), memory.horizontal, ring_row(next));
    }
    for (int k = 0; k < taps; ++k) memory.taps[static_cast<std::size_t>(k)] = ring_row(first + k);
    kernel.vertical(memory.taps.data(), memory.vertical.coefficients(y), taps, static_cast<int>(stride), memory.out_row.data());
    if (change.flip) mirror(memory.out_row.data(), spec.width);
    row(y, memory.out_row.data());
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
