#include "worker/load/image/kernels.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mgpu::worker::load {
namespace {

constexpr std::int32_t half = 1 << (coefficient_bits - 1);

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> coefficient_bits, 0, 255));
}

void horizontal_portable(const std::uint8_t* row, const Axis& axis, std::uint8_t* out) {
  const int taps = axis.taps();
  for (int i = 0; i < axis.count(); ++i, out += 4) {
    const std::uint8_t* pixel = row + static_cast<std::ptrdiff_t>(axis.start(i) - axis.source_begin()) * 4;
    const std::int32_t* coefficients = axis.coefficients(i);
    std::int32_t red = half, green = half, blue = half;
    for (int k = 0; k < taps; ++k, pixel += 4) {
      red += pixel[0] * coefficients[k];
      green += pixel[1] * coefficients[k];
      blue += pixel[2] * coefficients[k];
    }
    out[0] = to_byte(red);
    out[1] = to_byte(green);
    out[2] = to_byte(blue);
    out[3] = 0;
  }
}

void vertical_portable(const std::uint8_t* const* rows, const std::int32_t* coefficients, int taps, int size_bytes,
                       std::uint8_t* out) {
  constexpr int block = 32;
  for (int at = 0; at < size_bytes; at += block) {
    std::int32_t sums[block];
    for (int i = 0; i < block; ++i) sums[i] = half;
    for (int k = 0; k < taps; ++k) {
      const std::uint8_t* row = rows[k] + at;
      for (int i = 0; i < block; ++i) sums[i] += row[i] * coefficients[k];
    }
    for (int i = 0; i < block; ++i) out[at + i] = to_byte(sums[i]);
  }
}

// The product must be rounded before the subtraction: the compiler must not contract the two to a fused multiply-add.
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
void normalise_portable(const std::uint8_t* rgbx, int count, int channels, const float* factor, const float* offset,
                        float* const* out) {
  for (int c = 0; c < channels; ++c)
    for (int i = 0; i < count; ++i) {
      const float product = static_cast<float>(rgbx[i * 4 + c]) * factor[c];
      const float value = product - offset[c];
      std::memcpy(out[c] + i, &value, sizeof value); // `out` need not be aligned
    }
}
#pragma GCC pop_options

void pack_rgb_portable(const std::uint8_t* rgbx, int count, std::uint8_t* out) {
  for (int i = 0; i < count; ++i, rgbx += 4, out += 3) std::memcpy(out, rgbx, 3);
}

constexpr Kernels portable{horizontal_portable, vertical_portable, normalise_portable, pack_rgb_portable};

#if defined(__x86_64__)
#define MGPU_AVX2 __attribute__((target("avx2")))

// AVX-512 was tried and is not faster: the loops wait for rows that libjpeg has just written, not for arithmetic.
// pmaddwd multiplies 16-bit numbers, coefficients have 24 bits: each is split into c = high · 2^15 + low, and so is the sum.
MGPU_AVX2 inline __m256i joined(__m256i low, __m256i high) {
  const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(low, _mm256_set1_epi32(half)), _mm256_slli_epi32(high, 15));
  return _mm256_srai_epi32(sum, coefficient_bits);
}

/// Two output pixels (one in each 128-bit half) of `groups` × 4 taps.
MGPU_AVX2 inline __attribute__((always_inline)) __m256i two_pixels(const std::uint8_t* a, const std::uint8_t* b,
                                                                   const std::int16_t* packed, int groups) {
  const __m256i taps01 = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1));
  const __m256i taps23 = _mm256_broadcastsi128_si256(_mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1));
  __m256i low = _mm256_setzero_si256(), high = low;
  for (int group = 0; group < groups; ++group, packed += 128) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + group * 16));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + group * 16));
    const __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    const __m256i p01 = _mm256_shuffle_epi8(pixels, taps01), p23 = _mm256_shuffle_epi8(pixels, taps23);
    const auto* c = reinterpret_cast<const __m256i*>(packed);
    low = _mm256_add_epi32(low, _mm256_madd_epi16(p01, _mm256_loadu_si256(c)));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(p23, _mm256_loadu_si256(c + 2)));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(p01, _mm256_loadu_si256(c + 4)));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(p23, _mm256_loadu_si256(c + 6)));
  }
  return joined(low, high);
}

MGPU_AVX2 inline __attribute__((always_inline)) void horizontal_groups(const std::uint8_t* row, const Axis& axis, int groups,
                                                                       std::uint8_t* out) {
  const std::int16_t* packed = axis.packed().data();
  const std::int32_t* offset = axis.offsets().data();
  const std::int32_t* const end = offset + axis.offsets().size();
  for (; offset != end; offset += 4, packed += groups * 128, out += 16) {
    const __m256i first = two_pixels(row + offset[0], row + offset[1], packed, groups);
    const __m256i second = two_pixels(row + offset[2], row + offset[3], packed + 16, groups);
    const __m256i words = _mm256_packs_epi32(first, second);
    const __m256i bytes = _mm256_packus_epi16(words, words); // pixels 0 and 2, then 1 and 3
    const __m128i pixels = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), pixels);
  }
}

MGPU_AVX2 void horizontal_avx2(const std::uint8_t* row, const Axis& axis, std::uint8_t* out) {
  // 4 taps are the common case: pictures of up to twice the target size.
  if (axis.packed_groups() == 1) return horizontal_groups(row, axis, 1, out);
  horizontal_groups(row, axis, axis.packed_groups(), out);
}

/// Coefficients k and k + 1 of a column, their halves in pmaddwd's order; 0 after the last one.
struct CoefficientPair {
  CoefficientPair(const std::int32_t* coefficients, int k, int taps) : second(k + 1 < taps ? k + 1 : k) {
    const std::int32_t c0 = coefficients[k], c1 = second > k ? coefficients[second] : 0;
    low = (c0 & 0x7fff) | (c1 & 0x7fff) << 16;
    high = ((c0 >> 15) & 0xffff) | static_cast<std::int32_t>(static_cast<std::uint32_t>(c1 >> 15) << 16);
  }
  int second;
  std::int32_t low, high;
};

MGPU_AVX2 void vertical_avx2(const std::uint8_t* const* rows, const std::int32_t* coefficients, int taps, int size_bytes,
                             std::uint8_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  for (int at = 0; at < size_bytes; at += 32) {
    __m256i low[4] = {zero, zero, zero, zero}, high[4] = {zero, zero, zero, zero};
    for (int k = 0; k < taps; k += 2) {
      const CoefficientPair pair(coefficients, k, taps);
      const __m256i lows = _mm256_set1_epi32(pair.low), highs = _mm256_set1_epi32(pair.high);
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[k] + at));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[pair.second] + at));
      const __m256i near = _mm256_unpacklo_epi8(a, b), far = _mm256_unpackhi_epi8(a, b);
      const __m256i pairs[4] = {_mm256_unpacklo_epi8(near, zero), _mm256_unpackhi_epi8(near, zero),
                                _mm256_unpacklo_epi8(far, zero), _mm256_unpackhi_epi8(far, zero)};
      for (int part = 0; part < 4; ++part) {
        low[part] = _mm256_add_epi32(low[part], _mm256_madd_epi16(pairs[part], lows));
        high[part] = _mm256_add_epi32(high[part], _mm256_madd_epi16(pairs[part], highs));
      }
    }
    const __m256i words0 = _mm256_packs_epi32(joined(low[0], high[0]), joined(low[1], high[1]));
    const __m256i words1 = _mm256_packs_epi32(joined(low[2], high[2]), joined(low[3], high[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at), _mm256_packus_epi16(words0, words1));
  }
}

MGPU_AVX2 void normalise_avx2(const std::uint8_t* rgbx, int count, int channels, const float* factor, const float* offset,
                              float* const* out) {
  const __m256i byte = _mm256_set1_epi32(255);
  const int whole = count / 8 * 8;
  for (int c = 0; c < channels; ++c) {
    const __m256 factors = _mm256_set1_ps(factor[c]), offsets = _mm256_set1_ps(offset[c]);
    const __m128i shift = _mm_cvtsi32_si128(8 * c);
    for (int i = 0; i < whole; i += 8) {
      const __m256i pixels = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rgbx + i * 4));
      const __m256 values = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(pixels, shift), byte));
      _mm256_storeu_ps(out[c] + i, _mm256_sub_ps(_mm256_mul_ps(values, factors), offsets));
    }
  }
  float* rest[4] = {};
  for (int c = 0; c < channels; ++c) rest[c] = out[c] + whole;
  normalise_portable(rgbx + whole * 4, count - whole, channels, factor, offset, rest);
}

MGPU_AVX2 void pack_rgb_avx2(const std::uint8_t* rgbx, int count, std::uint8_t* out) {
  const __m128i order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  int i = 0;
  for (; i + 8 <= count; i += 4) { // stores 16 bytes for 12: never beyond the row
    const __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rgbx + i * 4));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i * 3), _mm_shuffle_epi8(pixels, order));
  }
  pack_rgb_portable(rgbx + i * 4, count - i, out + i * 3);
}

constexpr Kernels avx2{horizontal_avx2, vertical_avx2, normalise_avx2, pack_rgb_avx2};
#endif

} // namespace

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> all{&portable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) all.push_back(&avx2);
#endif
  return all;
}

const Kernels& kernels() {
  static const Kernels& best = *all_kernels().back();
  return best;
}

} // namespace mgpu::worker::load
