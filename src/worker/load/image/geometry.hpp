#pragma once
#include "mgpu/bundle.hpp"

namespace mgpu::worker::load {

/// Placement of a picture in the model's input: it is resized to resized_width × resized_height, and the model's pixel (0, 0) is
/// (left, top) of that; negative if the picture is smaller than the model's input, whose other pixels are `pad`.
struct Placement {
  int resized_width = 0, resized_height = 0;
  int left = 0, top = 0;
  int pad = 0;
};

/// Rounds like torchvision for resize and centre crop, like ultralytics for letterbox. width and height: the picture, oriented.
/// Throws Error if the rule cannot give the model's size.
Placement place(const ImageSpec& spec, int width, int height);

} // namespace mgpu::worker::load
