#pragma once
#include "mgpu/bundle.hpp"

namespace mgpu::worker::load {

/// value · factor − offset per channel: ImageSpec's scale, mean and std in the kernels' form.
struct Normalisation {
  Normalisation() = default;
  explicit Normalisation(const ImageSpec& spec) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(spec.channels); ++c) {
      factor[c] = static_cast<float>(spec.scale / spec.std[c]);
      offset[c] = static_cast<float>(spec.mean[c] / spec.std[c]);
    }
  }
  float factor[3] = {}, offset[3] = {};
};

} // namespace mgpu::worker::load
