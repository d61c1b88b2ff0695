#include "worker/load/image/resample.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace mgpu::worker::load {
namespace {

constexpr std::int32_t one = 1 << coefficient_bits;

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/// Keys' cubic with a = −0.5, in Pillow's order of operations (the last bit matters).
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

struct Filter {
  double (*weight)(double);
  double support; ///< it is 0 beyond this distance, pixels
};

Filter filter_of(Interpolation interpolation) {
  if (interpolation == Interpolation::lanczos) return {lanczos, 3.0};
  if (interpolation == Interpolation::bicubic) return {bicubic, 2.0};
  return {bilinear, 1.0};
}

std::int32_t fixed_point(double weight) {
  return static_cast<std::int32_t>(weight < 0 ? -0.5 + weight * one : 0.5 + weight * one);
}

} // namespace

void Axis::prepare(const AxisRequest& request) {
  if (request == request_ && taps_ > 0) return;
  request_ = request;
  is_packed_ = false;
  taps_ = 1;
  starts_.assign(static_cast<std::size_t>(request.count), 0);
  const bool unchanged = request.begin == 0 && request.end == request.in_size && request.out_size == request.in_size;
  if (unchanged) {
    for (int i = 0; i < request.count; ++i) starts_[static_cast<std::size_t>(i)] = request.first_out + i;
    coefficients_.assign(static_cast<std::size_t>(request.count), one);
  } else if (request.filter == Interpolation::nearest) {
    compute_nearest();
  } else if (request.filter == Interpolation::bicubic && !request.antialias) {
    compute_plain_bicubic();
  } else {
    compute_filtered();
  }
  shift_into_source();
}

void Axis::compute_nearest() {
  // Positions are summed, not multiplied, as in Pillow: rounding decides which pixel is nearest.
  const double step = (request_.end - request_.begin) / request_.out_size;
  double position = request_.begin + step * 0.5;
  for (int i = 0; i < request_.first_out + request_.count; ++i, position += step) {
    if (i < request_.first_out) continue;
    starts_[static_cast<std::size_t>(i - request_.first_out)] = std::clamp(static_cast<int>(position), 0, request_.in_size - 1);
  }
  coefficients_.assign(static_cast<std::size_t>(request_.count), one);
}

void Axis::compute_filtered() {
  const Filter filter = filter_of(request_.filter);
  const double scale = (request_.end - request_.begin) / request_.out_size;
  const double filter_scale = request_.antialias ? std::max(scale, 1.0) : 1.0;
  const double support = filter.support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  const auto range = [&](int i) {
    const double center = request_.begin + (request_.first_out + i + 0.5) * scale;
    const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
    return std::pair(begin, std::max(std::min(static_cast<int>(center + support + 0.5), request_.in_size), begin));
  };
  taps_ = 1;
  for (int i = 0; i < request_.count; ++i) taps_ = std::max(taps_, range(i).second - range(i).first);
  coefficients_.assign(static_cast<std::size_t>(request_.count) * static_cast<std::size_t>(taps_), 0);
  weights_.resize(static_cast<std::size_t>(taps_));
  for (int i = 0; i < request_.count; ++i) {
    const double center = request_.begin + (request_.first_out + i + 0.5) * scale;
    const auto [begin, end] = range(i);
    double sum = 0;
    for (int k = 0; k < end - begin; ++k) {
      const double x = (k + begin - center + 0.5) * inverse;
      weights_[static_cast<std::size_t>(k)] = filter.weight(x);
      sum += weights_[static_cast<std::size_t>(k)];
    }
    std::int32_t* coefficients = coefficients_.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_);
    for (int k = 0; k < end - begin; ++k) {
      double weight = weights_[static_cast<std::size_t>(k)];
      if (sum != 0.0) weight /= sum;
      coefficients[k] = fixed_point(weight);
    }
    starts_[static_cast<std::size_t>(i)] = std::min(begin, request_.in_size - 1);
  }
}

/// Keys' cubic with a = −0.75 and repeated border pixels, as torch and OpenCV have it.
void Axis::compute_plain_bicubic() {
  constexpr double a = -0.75;
  const auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  const auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  const double scale = (request_.end - request_.begin) / request_.out_size;
  taps_ = std::min(4, request_.in_size);
  coefficients_.assign(static_cast<std::size_t>(request_.count) * static_cast<std::size_t>(taps_), 0);
  for (int i = 0; i < request_.count; ++i) {
    const double position = request_.begin + (request_.first_out + i + 0.5) * scale - 0.5;
    const int before = static_cast<int>(std::floor(position));
    const double t = position - before;
    const double weights[4] = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    const int start = std::clamp(before - 1, 0, request_.in_size - taps_);
    std::int32_t* coefficients = coefficients_.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_);
    for (int k = 0; k < 4; ++k)
      coefficients[std::clamp(before - 1 + k, 0, request_.in_size - 1) - start] += fixed_point(weights[k]);
    starts_[static_cast<std::size_t>(i)] = start;
  }
}

void Axis::shift_into_source() {
  // Every output reads `taps_` pixels; near the end the zero coefficients are moved to the front, so that no read is outside.
  source_begin_ = request_.in_size;
  source_end_ = 0;
  for (int i = 0; i < request_.count; ++i) {
    int& start = starts_[static_cast<std::size_t>(i)];
    if (const int beyond = start + taps_ - request_.in_size; beyond > 0) {
      auto* coefficients = coefficients_.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_);
      std::rotate(coefficients, coefficients + (taps_ - beyond), coefficients + taps_);
      start -= beyond;
    }
    source_begin_ = std::min(source_begin_, start);
    source_end_ = std::max(source_end_, start + taps_);
  }
}

void Axis::pack() {
  if (is_packed_) return;
  is_packed_ = true;
  // Per 4 outputs and 4 taps: the low halves of taps 0 1 for each output, of taps 2 3, the high halves of 0 1, of 2 3; each pair of
  // taps four times (red, green, blue, unused).
  packed_groups_ = (taps_ + 3) / 4;
  const int blocks = (request_.count + 3) / 4;
  offsets_.assign(static_cast<std::size_t>(blocks) * 4, 0);
  for (int i = 0; i < request_.count; ++i) offsets_[static_cast<std::size_t>(i)] = (start(i) - source_begin_) * 4;
  packed_.assign(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(packed_groups_) * 128, 0);
  std::int16_t* to = packed_.data();
  for (int block = 0; block < blocks; ++block)
    for (int group = 0; group < packed_groups_; ++group)
      for (int part = 0; part < 4; ++part)
        for (int side = 0; side < 4; ++side)
          for (int lane = 0; lane < 4; ++lane)
            for (int tap = 0; tap < 2; ++tap, ++to) {
              const int output = block * 4 + side, k = group * 4 + (part % 2) * 2 + tap;
              if (output >= request_.count || k >= taps_) continue;
              const std::int32_t c = coefficients(output)[k];
              *to = static_cast<std::int16_t>(part < 2 ? c & 0x7fff : c >> 15);
            }
}

} // namespace mgpu::worker::load
