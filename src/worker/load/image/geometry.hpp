#pragma once
#include "mgpu/bundle.hpp"
#include "mgpu/placement.hpp"

namespace mgpu::worker::load {

/// How a picture becomes the model's input: it is resized to resized_width × resized_height, and the model's pixel (0, 0) is
/// (left, top) of that; negative if the picture is smaller than the model's input, whose other pixels are `pad`.
struct Fit {
  int width = 0, height = 0; ///< the picture, oriented
  int resized_width = 0, resized_height = 0;
  int left = 0, top = 0;
  int pad = 0;
};

/// Rounds like torchvision for resize and centre crop, like ultralytics for letterbox. width and height: the picture, oriented.
/// Throws Error if the rule cannot give the model's size.
Fit fit_into(const ImageSpec& spec, int width, int height);

/// Where the picture lies in the model's input. The scales are those of the resize, whose sizes are whole pixels.
Placement placement_of(const Fit& fit);

} // namespace mgpu::worker::load
