#pragma once

#include "mgpu/bundle.hpp"
#include "mgpu/tensor.hpp"
#include "worker/load/image/geometry.hpp"

namespace mgpu::worker {

/// Where a picture stored as width × height with an EXIF orientation goes. Throws Error as load::place does.
load::Placement place_stored(const ImageSpec& spec, int width, int height, int orientation);

/// What ImageLoader does after decoding, in tensor operations for any device: orients, turns grey where the model has one channel,
/// resizes by the bundle's rule, rounds, crops and pads. `planes`: uint8 [3, H, W], RGB as stored; the result: uint8 [h, w, C] as the
/// model sees it, contiguous. Pillow rounds after each of two passes, this once after both: within 1 of ImageLoader's (3 where bicubic
/// overshoots).
torch::Tensor fit_picture(const torch::Tensor& planes, int orientation, const ImageSpec& spec, const load::Placement& placement);

} // namespace mgpu::worker
