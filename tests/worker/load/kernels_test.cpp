#include "worker/load/image/kernels.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace mgpu::worker::load {
namespace {

std::vector<std::uint8_t> noise(std::size_t size, std::uint32_t seed) {
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

/// Bytes of pixels without the fourth.
std::vector<std::uint8_t> colours(const std::vector<std::uint8_t>& rgbx, int count) {
  std::vector<std::uint8_t> result;
  for (int i = 0; i < count * 4; ++i)
    if (i % 4 != 3) result.push_back(rgbx[static_cast<std::size_t>(i)]);
  return result;
}

TEST(Kernels, EveryImplementationGivesTheSameBits) {
  for (const auto filter : {Interpolation::bilinear, Interpolation::bicubic, Interpolation::nearest, Interpolation::lanczos})
    for (const auto& [in, out] : {std::pair(500, 341), {37, 211}, {1000, 97}, {4000, 50}, {5, 3}, {1, 7}, {64, 64}}) {
      Axis axis;
      axis.prepare({in, 0, in - 0.25 * (in > 100), out, out / 5, out - out / 4, filter, true});
      axis.pack();
      const auto row = noise(static_cast<std::size_t>(in) * 4 + 64, 1 + static_cast<std::uint32_t>(in));
      const std::uint8_t* source = row.data() + axis.source_begin() * 4;
      std::vector<std::vector<std::uint8_t>> across;
      for (const Kernels* kernels : all_kernels()) {
        std::vector<std::uint8_t> result(static_cast<std::size_t>(out) * 4 + 64);
        kernels->horizontal(source, axis, result.data());
        across.push_back(colours(result, axis.count()));
        EXPECT_EQ(across.front(), across.back()) << in << " to " << out;
      }

      const auto rows = noise(static_cast<std::size_t>(axis.taps()) * 256, 77);
      std::vector<const std::uint8_t*> pointers;
      for (int k = 0; k < axis.taps(); ++k) pointers.push_back(rows.data() + k * 256);
      std::vector<std::vector<std::uint8_t>> down;
      for (const Kernels* kernels : all_kernels()) {
        down.emplace_back(256);
        kernels->vertical(pointers.data(), axis.coefficients(axis.count() / 2), axis.taps(), 256, down.back().data());
        EXPECT_EQ(down.front(), down.back()) << in << " to " << out;
      }
    }
}

TEST(Kernels, NormalisingAndPackingGiveTheSameBits) {
  const auto pixels = noise(77 * 4, 5);
  const float factor[3] = {0.0171247f, 0.0175070f, 0.0174292f}, offset[3] = {2.1179039f, 2.0357141f, 1.8044444f};
  for (const int count : {1, 7, 8, 77}) {
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<std::uint8_t>> bytes;
    for (const Kernels* kernels : all_kernels()) {
      floats.emplace_back(80 * 3, -1.0f);
      float* rows[3];
      for (int c = 0; c < 3; ++c) rows[c] = floats.back().data() + c * 80;
      kernels->normalise(pixels.data(), count, 3, factor, offset, rows);
      EXPECT_EQ(floats.front(), floats.back());
      bytes.emplace_back(77 * 3 + 1, 9);
      kernels->pack_rgb(pixels.data(), count, bytes.back().data());
      EXPECT_EQ(bytes.front(), bytes.back()) << "or written beyond the last pixel";
    }
    EXPECT_EQ(bytes.front()[static_cast<std::size_t>(count) * 3], 9) << "written beyond the last pixel";
  }
}

TEST(Axis, CoefficientsAddUpToOne) {
  Axis axis;
  axis.prepare({375, 0, 375, 256, 16, 224, Interpolation::bicubic, true});
  for (int i = 0; i < axis.count(); ++i) {
    std::int64_t sum = 0;
    for (int k = 0; k < axis.taps(); ++k) sum += axis.coefficients(i)[k];
    EXPECT_NEAR(static_cast<double>(sum), 1 << coefficient_bits, axis.taps());
    EXPECT_GE(axis.start(i), axis.source_begin());
    EXPECT_LE(axis.start(i) + axis.taps(), axis.source_end());
  }
}

} // namespace
} // namespace mgpu::worker::load
