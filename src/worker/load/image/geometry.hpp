#pragma once
#include "mgpu/bundle.hpp"

namespace mgpu::worker::load {

/// Where a picture's pixels go: it is resized to resized_width × resized_height, of which the model's pixel (0, 0) is
/// (left, top); negative where the picture is smaller than the model's input, and what lies outside is `pad`.
struct Placement {
  int resized_width = 0, resized_height = 0;
  int left = 0, top = 0;
  int pad = 0;
};

/// torchvision's rounding for resize and centre crop, ultralytics' for letterbox. width and height: the picture, oriented.
/// Throws Error where the rule cannot give the model's size.
Placement place(const ImageSpec& spec, int width, int height);

} // namespace mgpu::worker::load
