#pragma once
// The arithmetic of an optimizer step over float32 arrays, element by element: the bits do not depend on the processor or on how
// an array is cut into pieces. No fused multiply-add.
#include <cstddef>

namespace mgpu::worker::collective {

/// Factors of an SGD step, rounded to float32 once.
struct SgdFactors {
  float decay = 0; ///< weight decay
  float momentum = 0;
  bool nesterov = false;
  float minus_lr = 0;
};

/// Factors of an AdamW step.
struct AdamwFactors {
  float keep = 1;                     ///< 1 - lr · weight decay
  float first_weight = 0;             ///< 1 - beta1
  float beta2 = 0, second_weight = 0; ///< second_weight: 1 - beta2
  float inverse_root = 1;             ///< 1 / sqrt(1 - beta2^step)
  float eps = 0;
  float minus_step = 0; ///< -lr / (1 - beta1^step)
};

struct Kernels {
  /// out = scale · (sources[0][at…] + sources[1][at…] + …), in this order; `count` ≥ 1 sources, `size` numbers. `out` may be
  /// one of sources[…] + at.
  void (*sum)(const float* const* sources, std::size_t count, std::size_t at, std::size_t size, float scale, float* out);
  /// Sum of squares; not finite if a value is not.
  double (*squares)(const float* values, std::size_t size);
  /// `momentum` is nullptr when factors.momentum is 0.
  void (*sgd)(const SgdFactors& factors, const float* gradients, float* momentum, float* parameters, std::size_t size);
  void (*adamw)(const AdamwFactors& factors, const float* gradients, float* first, float* second, float* parameters,
                std::size_t size);
};

/// The fastest kernels for this processor.
const Kernels& kernels();
/// Kernels for any processor, with the same results.
const Kernels& portable_kernels();

} // namespace mgpu::worker::collective
