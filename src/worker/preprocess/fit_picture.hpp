#pragma once

#include "mgpu/bundle.hpp"
#include "mgpu/tensor.hpp"
#include "worker/load/image/geometry.hpp"

namespace mgpu::worker {

/// The fit of a picture that is stored as width × height with an EXIF orientation. Throws Error as load::fit_into does.
load::Fit fit_stored(const ImageSpec& spec, int width, int height, int orientation);

/// ImageLoader's steps after decoding, as tensor operations for any device: orients, converts to grey for a model with one
/// channel, resizes by the bundle's rule, rounds, crops and pads. `planes`: uint8 [3, H, W], RGB as stored. Returns the model's
/// input, uint8 [h, w, C], contiguous. Pillow rounds after each of two passes, this function once after both: values are within 1
/// of ImageLoader's (3 where bicubic overshoots). lanczos is Pillow's two passes as matrix products in float32, each rounded.
torch::Tensor fit_picture(const torch::Tensor& planes, int orientation, const ImageSpec& spec, const load::Fit& fit);

} // namespace mgpu::worker
