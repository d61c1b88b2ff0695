#include "worker/preprocess/fit_picture.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "worker/device/torch.hpp"
#include "worker/load/image/orient.hpp"
#include "worker/load/image/resample.hpp"

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

/// Rounds to whole bytes, halves upwards, as Pillow does.
torch::Tensor rounded(torch::Tensor values) {
  return values.add_(0.5).floor_().clamp_(0, 255);
}

/// The resize of one axis as a matrix [out, in] float32.
torch::Tensor axis_matrix(std::int64_t in, std::int64_t out, const ImageSpec& spec) {
  load::Axis axis;
  axis.prepare(load::whole_axis(static_cast<int>(in), static_cast<int>(out), spec.interpolation, spec.antialias));
  torch::Tensor matrix = torch::zeros({out, in});
  auto values = matrix.accessor<float, 2>();
  for (int i = 0; i < axis.count(); ++i)
    for (int k = 0; k < axis.taps(); ++k)
      values[i][axis.start(i) + k] += std::ldexp(static_cast<float>(axis.coefficients(i)[k]), -load::coefficient_bits);
  return matrix;
}

/// LibTorch has no such filter.
torch::Tensor resize_lanczos(const torch::Tensor& picture, const ImageSpec& spec, const load::Fit& fit) {
  const torch::Tensor across = axis_matrix(picture.size(2), fit.resized_width, spec).to(picture.device());
  const torch::Tensor down = axis_matrix(picture.size(1), fit.resized_height, spec).to(picture.device());
  return rounded(torch::matmul(down, rounded(torch::matmul(picture.to(torch::kFloat), across.t())))).to(torch::kByte);
}

torch::Tensor resize(const torch::Tensor& picture, const ImageSpec& spec, const load::Fit& fit) {
  const std::int64_t size[] = {fit.resized_height, fit.resized_width};
  if (picture.size(1) == size[0] && picture.size(2) == size[1]) return picture;
  if (spec.interpolation == Interpolation::nearest) return at::_upsample_nearest_exact2d(picture.unsqueeze(0), size).squeeze(0);
  if (spec.interpolation == Interpolation::lanczos) return resize_lanczos(picture, spec, fit);
  const torch::Tensor values = picture.unsqueeze(0).to(torch::kFloat);
  const bool bicubic = spec.interpolation == Interpolation::bicubic;
  torch::Tensor resized;
  if (spec.antialias)
    resized = bicubic ? at::_upsample_bicubic2d_aa(values, size, false) : at::_upsample_bilinear2d_aa(values, size, false);
  else
    resized = bicubic ? at::upsample_bicubic2d(values, size, false) : at::upsample_bilinear2d(values, size, false);
  return rounded(resized.squeeze(0)).to(torch::kByte);
}

} // namespace

load::Fit fit_stored(const ImageSpec& spec, int width, int height, int orientation) {
  if (load::steps_of(orientation).transpose) std::swap(width, height);
  return load::fit_into(spec, width, height);
}

torch::Tensor fit_picture(const torch::Tensor& planes, int orientation, const ImageSpec& spec, const load::Fit& fit) {
  torch::Tensor picture = orient(planes, orientation);
  if (spec.channels == 1) picture = grey(picture);
  picture = resize(picture, spec, fit);

  // The part of the resized picture that the model sees, and its position there.
  const int left = std::max(0, fit.left), top = std::max(0, fit.top);
  const int width = std::min(fit.resized_width, fit.left + spec.width) - left;
  const int height = std::min(fit.resized_height, fit.top + spec.height) - top;
  const torch::Tensor seen = picture.narrow(1, top, height).narrow(2, left, width).permute({1, 2, 0});
  if (width == spec.width && height == spec.height) return seen.contiguous();
  torch::Tensor whole = torch::full({spec.height, spec.width, spec.channels}, fit.pad, picture.options());
  whole.narrow(0, std::max(0, -fit.top), height).narrow(1, std::max(0, -fit.left), width).copy_(seen);
  return whole;
}

} // namespace mgpu::worker
