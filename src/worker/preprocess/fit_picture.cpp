#include "worker/preprocess/fit_picture.hpp"

#include <algorithm>
#include <utility>

#include "worker/device/torch.hpp"
#include "worker/load/image/orient.hpp"

namespace mgpu::worker {

namespace {

torch::Tensor orient(torch::Tensor picture, int orientation) {
  const load::OrientationSteps steps = load::steps_of(orientation);
  if (steps.transpose) picture = picture.transpose(1, 2);
  if (steps.flip_x) picture = picture.flip(2);
  if (steps.flip_y) picture = picture.flip(1);
  return picture;
}

/// Pillow's RGB → L, like load::luma().
torch::Tensor grey(const torch::Tensor& picture) {
  const torch::Tensor wide = picture.to(torch::kInt);
  const torch::Tensor sum = wide.select(0, 0) * 19595 + wide.select(0, 1) * 38470 + wide.select(0, 2) * 7471 + 0x8000;
  return sum.bitwise_right_shift(16).to(torch::kByte).unsqueeze(0);
}

torch::Tensor resize(const torch::Tensor& picture, const ImageSpec& spec, const load::Placement& placement) {
  const std::int64_t size[] = {placement.resized_height, placement.resized_width};
  if (picture.size(1) == size[0] && picture.size(2) == size[1]) return picture;
  if (spec.interpolation == Interpolation::nearest) return at::_upsample_nearest_exact2d(picture.unsqueeze(0), size).squeeze(0);
  const torch::Tensor values = picture.unsqueeze(0).to(torch::kFloat);
  const bool bicubic = spec.interpolation == Interpolation::bicubic;
  torch::Tensor resized;
  if (spec.antialias)
    resized = bicubic ? at::_upsample_bicubic2d_aa(values, size, false) : at::_upsample_bilinear2d_aa(values, size, false);
  else
    resized = bicubic ? at::upsample_bicubic2d(values, size, false) : at::upsample_bilinear2d(values, size, false);
  return resized.squeeze(0).add_(0.5).clamp_(0, 255).to(torch::kByte); // the conversion truncates, so halves are rounded up
}

} // namespace

load::Placement place_stored(const ImageSpec& spec, int width, int height, int orientation) {
  if (load::steps_of(orientation).transpose) std::swap(width, height);
  return load::place(spec, width, height);
}

torch::Tensor fit_picture(const torch::Tensor& planes, int orientation, const ImageSpec& spec, const load::Placement& placement) {
  torch::Tensor picture = orient(planes, orientation);
  if (spec.channels == 1) picture = grey(picture);
  picture = resize(picture, spec, placement);

  // The part of the resized picture that the model sees, and its position there.
  const int left = std::max(0, placement.left), top = std::max(0, placement.top);
  const int width = std::min(placement.resized_width, placement.left + spec.width) - left;
  const int height = std::min(placement.resized_height, placement.top + spec.height) - top;
  const torch::Tensor seen = picture.narrow(1, top, height).narrow(2, left, width).permute({1, 2, 0});
  if (width == spec.width && height == spec.height) return seen.contiguous();
  torch::Tensor whole = torch::full({spec.height, spec.width, spec.channels}, placement.pad, picture.options());
  whole.narrow(0, std::max(0, -placement.top), height).narrow(1, std::max(0, -placement.left), width).copy_(seen);
  return whole;
}

} // namespace mgpu::worker
