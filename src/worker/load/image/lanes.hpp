#pragma once
#include <cstdint>
#include <cstring>

namespace mgpu::worker::load {

/// Eight floats, one for each of eight frames. The compiler uses one AVX or two SSE registers; without fused multiply-add, so
/// that both give the same bits.
using Lanes = float __attribute__((vector_size(32), aligned(32)));
using IntLanes = std::int32_t __attribute__((vector_size(32), aligned(32)));
inline constexpr int lane_count = 8;

#define MGPU_INLINE inline __attribute__((always_inline))

MGPU_INLINE void read_lanes(const float* from, Lanes& lanes) {
  std::memcpy(&lanes, from, sizeof lanes);
}

/// Transposes an 8 × 8 matrix.
MGPU_INLINE void transpose(Lanes (&r)[8]) {
  Lanes a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[i * 2] = __builtin_shufflevector(r[i * 2], r[i * 2 + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    a[i * 2 + 1] = __builtin_shufflevector(r[i * 2], r[i * 2 + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      b[i * 4 + j * 2] = __builtin_shufflevector(a[i * 4 + j], a[i * 4 + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[i * 4 + j * 2 + 1] = __builtin_shufflevector(a[i * 4 + j], a[i * 4 + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// log10 of positive normal numbers, within 2 units in the last place: exponent and the polynomial of Cephes' logf.
MGPU_INLINE void log10_lanes(Lanes& x) {
  IntLanes bits;
  std::memcpy(&bits, &x, sizeof x);
  // Mantissa in [√½, √2): log of it is then small on both sides of 1.
  const IntLanes shifted = bits - 0x3f3504f3;
  const IntLanes exponent = shifted >> 23;
  const IntLanes mantissa_bits = (shifted & 0x007fffff) + 0x3f3504f3;
  Lanes m;
  std::memcpy(&m, &mantissa_bits, sizeof m);
  m -= 1.0f;
  Lanes p = m * 7.0376836292e-2f - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const Lanes square = m * m;
  const Lanes natural = m + (p * m * square - square * 0.5f);
  x = natural * 0.4342944819f + __builtin_convertvector(exponent, Lanes) * 0.3010299957f;
}

} // namespace mgpu::worker::load
