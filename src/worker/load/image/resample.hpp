#pragma once
#include <cstdint>
#include <vector>

#include "mgpu/bundle.hpp"

namespace mgpu::worker::load {

/// The resize along one axis: `count` outputs from `first_out` of a resize from the source range [begin, end) to `out_size`.
struct AxisRequest {
  int in_size = 0;           ///< number of pixels
  double begin = 0, end = 0; ///< source range that is stretched to out_size
  int out_size = 0;
  int first_out = 0, count = 0;
  Interpolation filter = Interpolation::bilinear;
  bool antialias = true;

  bool operator==(const AxisRequest&) const = default;
};

/// All `out` outputs of a resize from all `in` pixels.
inline AxisRequest whole_axis(int in, int out, Interpolation filter, bool antialias = true) {
  return {in, 0, static_cast<double>(in), out, 0, out, filter, antialias};
}

/// Fixed-point bits of a coefficient: 32 − 8 (pixel) − 2 (sign and head-room), as in Pillow.
inline constexpr int coefficient_bits = 32 - 8 - 2;

/// Resampling coefficients of one axis: output i = Σ_k coefficient(i, k) · source[start[i] + k], with the exact numbers of
/// Pillow's resize (Resample.c: window in double, normalised, rounded to 22 bits), so that results are equal bit for bit. Bicubic
/// without antialias has the weights of torch's interpolate(align_corners=False), rounded to 22 bits.
class Axis {
 public:
  /// Computes the coefficients; does nothing if the request is equal to the last one.
  void prepare(const AxisRequest& request);

  int count() const { return request_.count; }
  int taps() const { return taps_; }
  int start(int output) const { return starts_[static_cast<std::size_t>(output)]; }
  const std::int32_t* coefficients(int output) const {
    return coefficients_.data() + static_cast<std::size_t>(output) * static_cast<std::size_t>(taps_);
  }
  /// Source range that the outputs read, end exclusive.
  int source_begin() const { return source_begin_; }
  int source_end() const { return source_end_; }
  /// Coefficients as 16-bit halves in the order of the vector kernel (kernels.cpp); empty without `pack`.
  const std::vector<std::int16_t>& packed() const { return packed_; }
  /// Byte offsets in a row of RGBX pixels that begins with source_begin, count() rounded up to a multiple of 4; set by `pack`.
  const std::vector<std::int32_t>& offsets() const { return offsets_; }
  int packed_groups() const { return packed_groups_; } ///< groups of 4 taps
  void pack();

 private:
  void compute_nearest();
  void compute_filtered();
  void compute_plain_bicubic();
  void shift_into_source();

  AxisRequest request_;
  int taps_ = 0, source_begin_ = 0, source_end_ = 0, packed_groups_ = 0;
  bool is_packed_ = false;
  std::vector<int> starts_;
  std::vector<std::int32_t> coefficients_;
  std::vector<double> weights_; ///< scratch
  std::vector<std::int16_t> packed_;
  std::vector<std::int32_t> offsets_;
};

} // namespace mgpu::worker::load
