#pragma once
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "worker/load/image/lanes.hpp"

namespace mgpu::worker::load {

/// A complex number in each lane.
struct alignas(64) ComplexLanes {
  Lanes re, im;
};

/// Discrete Fourier transforms of one length, eight at a time, one per lane: Stockham's self-sorting form with radices 4, 2, 3, 5
/// and any other prime. Source: Van Loan, Computational Frameworks for the Fast Fourier Transform, §1.7.
class Fft {
 public:
  explicit Fft(int size) : size_(size) {
    int rest = size;
    for (const int radix : {5, 3, 4, 2})
      for (; rest % radix == 0; rest /= radix) add_stage(radix);
    for (int radix = 7; rest > 1; radix += 2)
      for (; rest % radix == 0; rest /= radix) add_stage(radix);
  }

  int size() const { return size_; }

  /// Transforms `data` (destroyed); the result is in `data` or in `other`, both size() long. Returns which.
  MGPU_INLINE ComplexLanes* transform(ComplexLanes* data, ComplexLanes* other) const {
    int length = size_, stride = 1;
    for (const Stage& stage : stages_) {
      switch (stage.radix) {
        case 2:
          run<2>(stage, length, stride, data, other);
          break;
        case 3:
          run<3>(stage, length, stride, data, other);
          break;
        case 4:
          run<4>(stage, length, stride, data, other);
          break;
        case 5:
          run<5>(stage, length, stride, data, other);
          break;
        default:
          run_any(stage, length, stride, data, other);
      }
      length /= stage.radix;
      stride *= stage.radix;
      std::swap(data, other);
    }
    return data;
  }

 private:
  struct Root {
    float re, im;
  };
  struct Stage {
    int radix;
    std::vector<Root> twiddles; ///< [length / radix][radix]: root(length)^(p·j)
    std::vector<Root> roots;    ///< [radix]: root(radix)^j
  };

  static Root root(long numerator, long denominator) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(numerator % denominator) / static_cast<double>(denominator);
    return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }

  void add_stage(int radix) {
    int length = size_;
    for (const Stage& stage : stages_) length /= stage.radix;
    Stage stage{radix, {}, {}};
    for (int p = 0; p < length / radix; ++p)
      for (int j = 0; j < radix; ++j) stage.twiddles.push_back(root(static_cast<long>(p) * j, length));
    for (int j = 0; j < radix; ++j) stage.roots.push_back(root(j, radix));
    stages_.push_back(std::move(stage));
  }

  static MGPU_INLINE ComplexLanes plus(const ComplexLanes& a, const ComplexLanes& b) { return {a.re + b.re, a.im + b.im}; }
  static MGPU_INLINE ComplexLanes minus(const ComplexLanes& a, const ComplexLanes& b) { return {a.re - b.re, a.im - b.im}; }
  static MGPU_INLINE ComplexLanes times(const ComplexLanes& a, Root w) {
    return {a.re * w.re - a.im * w.im, a.re * w.im + a.im * w.re};
  }
  /// a − i·b and a + i·b.
  static MGPU_INLINE ComplexLanes minus_i(const ComplexLanes& a, const ComplexLanes& b) { return {a.re + b.im, a.im - b.re}; }
  static MGPU_INLINE ComplexLanes plus_i(const ComplexLanes& a, const ComplexLanes& b) { return {a.re - b.im, a.im + b.re}; }
  static MGPU_INLINE ComplexLanes scaled(const ComplexLanes& a, float by) { return {a.re * by, a.im * by}; }

  template <int radix>
  static MGPU_INLINE void butterfly(ComplexLanes (&a)[radix]) {
    if constexpr (radix == 2) {
      const ComplexLanes sum = plus(a[0], a[1]);
      a[1] = minus(a[0], a[1]);
      a[0] = sum;
    } else if constexpr (radix == 3) {
      constexpr float half_root_3 = 0.86602540378443864676f;
      const ComplexLanes sum = plus(a[1], a[2]), difference = scaled(minus(a[1], a[2]), half_root_3);
      const ComplexLanes middle = minus(a[0], scaled(sum, 0.5f));
      a[0] = plus(a[0], sum);
      a[1] = minus_i(middle, difference);
      a[2] = plus_i(middle, difference);
    } else if constexpr (radix == 4) {
      const ComplexLanes even = plus(a[0], a[2]), odd = plus(a[1], a[3]), even2 = minus(a[0], a[2]), odd2 = minus(a[1], a[3]);
      a[0] = plus(even, odd);
      a[1] = minus_i(even2, odd2);
      a[2] = minus(even, odd);
      a[3] = plus_i(even2, odd2);
    } else {
      constexpr float c1 = 0.30901699437494742410f, c2 = -0.80901699437494742410f; // cos 72°, cos 144°
      constexpr float s1 = 0.95105651629515357212f, s2 = 0.58778525229247312917f;  // sin 72°, sin 144°
      const ComplexLanes sum1 = plus(a[1], a[4]), sum2 = plus(a[2], a[3]), difference1 = minus(a[1], a[4]),
                         difference2 = minus(a[2], a[3]);
      const ComplexLanes middle1 = plus(a[0], plus(scaled(sum1, c1), scaled(sum2, c2)));
      const ComplexLanes middle2 = plus(a[0], plus(scaled(sum1, c2), scaled(sum2, c1)));
      const ComplexLanes side1 = plus(scaled(difference1, s1), scaled(difference2, s2));
      const ComplexLanes side2 = minus(scaled(difference1, s2), scaled(difference2, s1));
      a[0] = plus(a[0], plus(sum1, sum2));
      a[1] = minus_i(middle1, side1);
      a[2] = minus_i(middle2, side2);
      a[3] = plus_i(middle2, side2);
      a[4] = plus_i(middle1, side1);
    }
  }

  template <int radix>
  static MGPU_INLINE void run(const Stage& stage, int length, int stride, const ComplexLanes* from, ComplexLanes* to) {
    const int groups = length / radix;
    for (int p = 0; p < groups; ++p) {
      const Root* twiddle = stage.twiddles.data() + p * radix;
      for (int q = 0; q < stride; ++q) {
        ComplexLanes a[radix];
        for (int k = 0; k < radix; ++k) a[k] = from[q + stride * (p + groups * k)];
        butterfly<radix>(a);
        ComplexLanes* out = to + q + stride * radix * p;
        out[0] = a[0];
        for (int j = 1; j < radix; ++j) out[stride * j] = times(a[j], twiddle[j]);
      }
    }
  }

  static MGPU_INLINE void run_any(const Stage& stage, int length, int stride, const ComplexLanes* from, ComplexLanes* to) {
    const int radix = stage.radix, groups = length / radix;
    for (int p = 0; p < groups; ++p)
      for (int q = 0; q < stride; ++q)
        for (int j = 0; j < radix; ++j) {
          ComplexLanes sum = from[q + stride * p];
          for (int k = 1; k < radix; ++k)
            sum = plus(
                sum,
                times(from[q + stride * (p + groups * k)],
                      stage.roots[static_cast<std::size_t>(j) * static_cast<std::size_t>(k) % static_cast<std::size_t>(radix)]));
          to[q + stride * (radix * p + j)] = times(sum, stage.twiddles[static_cast<std::size_t>(p * radix + j)]);
        }
  }

  int size_;
  std::vector<Stage> stages_;
};

} // namespace mgpu::worker::load
