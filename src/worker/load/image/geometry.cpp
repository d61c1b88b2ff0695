#include "worker/load/image/geometry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "mgpu/error.hpp"

namespace mgpu::worker::load {
namespace {

constexpr int letterbox_grey = 114;

/// Offset of a centred crop; negative if the picture is smaller and is padded with zeros on both sides.
int centred(int have, int want) {
  if (have < want) return -((want - have) / 2);
  return static_cast<int>(std::nearbyint((have - want) / 2.0)); // half to even, like Python
}

Fit letterbox(const ImageSpec& spec, int width, int height) {
  const double ratio = std::min(static_cast<double>(spec.height) / height, static_cast<double>(spec.width) / width);
  Fit result{.width = width, .height = height};
  result.resized_width = std::clamp(static_cast<int>(std::nearbyint(width * ratio)), 1, spec.width);
  result.resized_height = std::clamp(static_cast<int>(std::nearbyint(height * ratio)), 1, spec.height);
  // An odd border is split so that the smaller half comes first.
  result.left = -static_cast<int>(std::nearbyint((spec.width - result.resized_width) / 2.0 - 0.1));
  result.top = -static_cast<int>(std::nearbyint((spec.height - result.resized_height) / 2.0 - 0.1));
  result.pad = letterbox_grey;
  return result;
}

Fit shorter_side(const ImageSpec& spec, int width, int height) {
  const int to = spec.resize_to > 0 ? spec.resize_to : std::min(spec.height, spec.width);
  const double longer = static_cast<double>(to) * std::max(width, height) / std::min(width, height);
  if (longer > (1 << 26))
    throw Error(fmt::format("{}x{} pixels: too narrow to resize its shorter side to {}", width, height, to));
  Fit result{.width = width, .height = height};
  const auto truncated = static_cast<int>(longer);
  result.resized_width = width <= height ? to : truncated;
  result.resized_height = width <= height ? truncated : to;
  return result;
}

} // namespace

Fit fit_into(const ImageSpec& spec, int width, int height) {
  if (spec.resize == Resize::letterbox) return letterbox(spec, width, height);
  Fit result{.width = width, .height = height};
  if (spec.resize == Resize::exact) {
    result.resized_width = spec.width;
    result.resized_height = spec.height;
    return result;
  }
  if (spec.resize == Resize::none) {
    if (width != spec.width || height != spec.height)
      throw Error(
          fmt::format("{}x{} pixels, the model takes {}x{} and \"resize\" is \"none\"", width, height, spec.width, spec.height));
    result.resized_width = width;
    result.resized_height = height;
    return result;
  }
  result = shorter_side(spec, width, height);
  if (spec.center_crop) {
    result.left = centred(result.resized_width, spec.width);
    result.top = centred(result.resized_height, spec.height);
  } else if (result.resized_width != spec.width || result.resized_height != spec.height) {
    throw Error(fmt::format("{}x{} pixels after resizing, the model takes {}x{} and \"crop\" is \"none\"", result.resized_width,
                            result.resized_height, spec.width, spec.height));
  }
  return result;
}

Placement placement_of(const Fit& fit) {
  return {.original_height = fit.height,
          .original_width = fit.width,
          .scale_y = static_cast<double>(fit.resized_height) / fit.height,
          .scale_x = static_cast<double>(fit.resized_width) / fit.width,
          .offset_y = static_cast<double>(-fit.top),
          .offset_x = static_cast<double>(-fit.left)};
}

} // namespace mgpu::worker::load
