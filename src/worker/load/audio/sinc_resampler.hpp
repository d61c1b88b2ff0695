#pragma once
#include <cstdint>
#include <vector>

namespace mgpu::worker::load {

/// Resamples one channel as a stream: windowed sinc with the kernel of torchaudio.functional.resample's defaults (Hann window,
/// lowpass_filter_width 6, rolloff 0.99), so that models get the same input as in training. Sums have a fixed order: the result
/// depends neither on how the input is cut into pieces nor on the processor.
class SincResampler {
 public:
  SincResampler(int from_hertz, int to_hertz);

  /// Appends to `out` the output samples that are known after these samples.
  void push(const float* samples, std::int64_t count, std::vector<float>& out);
  /// Appends the last samples; the total is ceil(input · to / from).
  void finish(std::vector<float>& out);

 private:
  void produce(std::int64_t until, std::vector<float>& out);

  std::int64_t from_, to_;          ///< rates divided by their greatest common divisor
  int taps_ = 0;                    ///< a multiple of 8
  std::vector<float> kernel_;       ///< [to_][taps_]
  std::vector<std::int64_t> first_; ///< [to_]: input sample of tap 0 relative to the period's first
  std::vector<float> pending_;      ///< input from sample pending_begin_ on
  std::int64_t pending_begin_ = 0, received_ = 0, produced_ = 0, reach_ = 0;
};

} // namespace mgpu::worker::load
