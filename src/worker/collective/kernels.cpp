#include "worker/collective/kernels.hpp"

#include <cmath>

namespace mgpu::worker::collective {

namespace {

// Without fused multiply-add, which rounds once instead of twice, so that results do not depend on the machine. sqrt must not set
// errno, or it could not be vectorised.
#pragma GCC push_options
#pragma GCC optimize("O3", "fp-contract=off", "no-math-errno")
// Elements are independent. Without this pragma the compiler does not vectorise when `out` may be a source.
#define MGPU_SAME_PLACE _Pragma("GCC ivdep")
#define MGPU_INLINE inline __attribute__((always_inline))

MGPU_INLINE void sum_body(const float* const* sources, std::size_t count, std::size_t at, std::size_t size, float scale,
                          float* out) {
  const float* first = sources[0] + at;
  if (count == 1) {
    MGPU_SAME_PLACE for (std::size_t i = 0; i < size; ++i) out[i] = first[i] * scale;
    return;
  }
  const float* second = sources[1] + at;
  if (count == 2) {
    MGPU_SAME_PLACE for (std::size_t i = 0; i < size; ++i) out[i] = (first[i] + second[i]) * scale;
    return;
  }
  // `out` may be any of the sources: each block is complete before it is written.
  constexpr std::size_t block = 256;
  float sums[block];
  for (std::size_t begin = 0; begin < size; begin += block) {
    const std::size_t count_here = size - begin < block ? size - begin : block;
    for (std::size_t i = 0; i < count_here; ++i) sums[i] = first[begin + i] + second[begin + i];
    for (std::size_t k = 2; k < count; ++k) {
      const float* next = sources[k] + at + begin;
      for (std::size_t i = 0; i < count_here; ++i) sums[i] += next[i];
    }
    MGPU_SAME_PLACE for (std::size_t i = 0; i < count_here; ++i) out[begin + i] = sums[i] * scale;
  }
}

MGPU_INLINE double squares_body(const float* values, std::size_t size) {
  // Sixteen partial sums for any width of the processor's registers: the order of additions is always the same.
  constexpr std::size_t lanes = 16;
  double sums[lanes] = {};
  const std::size_t whole = size / lanes * lanes;
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t k = 0; k < lanes; ++k) sums[k] += static_cast<double>(values[i + k]) * static_cast<double>(values[i + k]);
  for (std::size_t i = whole; i < size; ++i) sums[i - whole] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

MGPU_INLINE void sgd_body(const SgdFactors& factors, const float* __restrict gradients, float* __restrict momentum,
                          float* __restrict parameters, std::size_t size) {
  const SgdFactors f = factors; // a copy, because the compiler must assume that stores change `factors`
  if (momentum == nullptr) {
    for (std::size_t i = 0; i < size; ++i) parameters[i] += f.minus_lr * (gradients[i] + f.decay * parameters[i]);
    return;
  }
  if (f.nesterov) {
    for (std::size_t i = 0; i < size; ++i) {
      const float gradient = gradients[i] + f.decay * parameters[i];
      momentum[i] = f.momentum * momentum[i] + gradient;
      parameters[i] += f.minus_lr * (gradient + f.momentum * momentum[i]);
    }
    return;
  }
  for (std::size_t i = 0; i < size; ++i) {
    momentum[i] = f.momentum * momentum[i] + (gradients[i] + f.decay * parameters[i]);
    parameters[i] += f.minus_lr * momentum[i];
  }
}

MGPU_INLINE void adamw_body(const AdamwFactors& factors, const float* __restrict gradients, float* __restrict first,
                            float* __restrict second, float* __restrict parameters, std::size_t size) {
  const AdamwFactors f = factors;
  for (std::size_t i = 0; i < size; ++i) {
    const float gradient = gradients[i];
    first[i] += (gradient - first[i]) * f.first_weight;
    second[i] = second[i] * f.beta2 + f.second_weight * gradient * gradient;
    const float divisor = std::sqrt(second[i]) * f.inverse_root + f.eps;
    parameters[i] = parameters[i] * f.keep + f.minus_step * first[i] / divisor;
  }
}

#define MGPU_KERNELS(name, attributes)                                                                                      \
  attributes void sum_##name(const float* const* sources, std::size_t count, std::size_t at, std::size_t size, float scale, \
                             float* out) {                                                                                  \
    sum_body(sources, count, at, size, scale, out);                                                                         \
  }                                                                                                                         \
  attributes double squares_##name(const float* values, std::size_t size) {                                                 \
    return squares_body(values, size);                                                                                      \
  }                                                                                                                         \
  attributes void sgd_##name(const SgdFactors& factors, const float* gradients, float* momentum, float* parameters,         \
                             std::size_t size) {                                                                            \
    sgd_body(factors, gradients, momentum, parameters, size);                                                               \
  }                                                                                                                         \
  attributes void adamw_##name(const AdamwFactors& factors, const float* gradients, float* first, float* second,            \
                               float* parameters, std::size_t size) {                                                       \
    adamw_body(factors, gradients, first, second, parameters, size);                                                        \
  }                                                                                                                         \
  constexpr Kernels name{sum_##name, squares_##name, sgd_##name, adamw_##name};

MGPU_KERNELS(portable, )
#if defined(__x86_64__)
// AVX-512 does not help: the loops are limited by memory bandwidth.
MGPU_KERNELS(avx2, __attribute__((target("avx2"))))
#endif
#pragma GCC pop_options

} // namespace

const Kernels& kernels() {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx2") != 0;
  if (wide) return avx2;
#endif
  return portable;
}

const Kernels& portable_kernels() {
  return portable;
}

} // namespace mgpu::worker::collective
