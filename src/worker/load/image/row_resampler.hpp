#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/load/image/kernels.hpp"
#include "worker/load/image/resample.hpp"

namespace mgpu::worker::load {

/// Coefficients and buffers of a resize, reused between pictures.
struct ResampleMemory {
  Axis horizontal, vertical;
  std::vector<std::uint8_t> ring;    ///< rows after the horizontal pass
  std::vector<std::uint8_t> out_row; ///< one row after the vertical pass
  std::vector<const std::uint8_t*> taps;
};

/// Resizes source rows as they arrive; an output row is complete as soon as its last source row is there.
class RowResampler {
 public:
  /// Both axes of `memory` are prepared. It must outlive the resampler.
  explicit RowResampler(ResampleMemory& memory)
      : memory_(memory),
        kernels_(kernels()),
        stride_((static_cast<std::size_t>(memory.horizontal.count()) * 4 + 63) / 64 * 64),
        ring_rows_(memory.vertical.taps()),
        source_row_(memory.vertical.source_begin()) {
    memory_.horizontal.pack();
    memory_.ring.resize(stride_ * static_cast<std::size_t>(ring_rows_));
    memory_.out_row.resize(stride_);
    memory_.taps.resize(static_cast<std::size_t>(ring_rows_));
  }

  /// Takes the next source row, the first one is vertical.source_begin(): RGBX pixels from horizontal.source_begin(), with row_slack
  /// readable bytes after the last. Calls `write(y, rgbx)` for each output row that is complete now.
  template <typename Write>
  void row(const std::uint8_t* rgbx, const Write& write) {
    const Axis& vertical = memory_.vertical;
    // Without antialias some rows are read by no output.
    if (output_ < vertical.count() && source_row_ >= vertical.start(output_))
      kernels_.horizontal(rgbx, memory_.horizontal, ring_row(source_row_));
    ++source_row_;
    for (; output_ < vertical.count() && vertical.start(output_) + ring_rows_ <= source_row_; ++output_) {
      const int first = vertical.start(output_);
      for (int k = 0; k < ring_rows_; ++k) memory_.taps[static_cast<std::size_t>(k)] = ring_row(first + k);
      kernels_.vertical(memory_.taps.data(), vertical.coefficients(output_), ring_rows_, static_cast<int>(stride_),
                        memory_.out_row.data());
      write(output_, memory_.out_row.data());
    }
  }

 private:
  std::uint8_t* ring_row(int source_row) {
    return memory_.ring.data() + stride_ * static_cast<std::size_t>(source_row % ring_rows_);
  }

  ResampleMemory& memory_;
  const Kernels& kernels_;
  std::size_t stride_;
  int ring_rows_, source_row_, output_ = 0;
};

} // namespace mgpu::worker::load
