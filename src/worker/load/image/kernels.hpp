#pragma once
#include <cstdint>
#include <vector>

#include "worker/load/image/resample.hpp"

namespace mgpu::worker::load {

/// The inner loops. All implementations give the same bits: resampling uses integers; normalisation is one multiplication and
/// one subtraction, each rounded, without fused multiply-add.
struct Kernels {
  /// One row: `axis.count()` RGBX pixels (rounded up to a multiple of 4 in `out`) from the RGBX pixels at `row`, whose first is
  /// source pixel axis.source_begin(). Reads up to row_slack bytes beyond the last source pixel.
  void (*horizontal)(const std::uint8_t* row, const Axis& axis, std::uint8_t* out);
  /// `size_bytes` (a multiple of 64) of one output row from `taps` rows.
  void (*vertical)(const std::uint8_t* const* rows, const std::int32_t* coefficients, int taps, int size_bytes,
                   std::uint8_t* out);
  /// count pixels of RGBX to `channels` rows of floats: value · factor[c] − offset[c].
  void (*normalise)(const std::uint8_t* rgbx, int count, int channels, const float* factor, const float* offset,
                    float* const* out);
  /// count pixels of RGBX to RGB bytes.
  void (*pack_rgb)(const std::uint8_t* rgbx, int count, std::uint8_t* out);
};

/// The fastest kernels for this processor.
const Kernels& kernels();
/// Every implementation that this processor can run: plain C++ first, the fastest last.
std::vector<const Kernels*> all_kernels();

} // namespace mgpu::worker::load
