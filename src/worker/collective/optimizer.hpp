#pragma once
// Optimizer steps on a CPU: one pass sums the ranks' gradients, updates the state and writes the parameters.
#include <span>
#include <vector>

#include "worker/collective/exchange.hpp"

namespace mgpu::worker::collective {

/// The arrays of one pass over a slice.
struct UpdateArrays {
  std::span<const float* const> gradients; ///< whole flat arrays, summed in this order
  float* parameters = nullptr;             ///< whole flat array
  float* states[2] = {nullptr, nullptr};   ///< starting at the slice: SGD momentum; AdamW first and second moment
};

class Optimizer {
 public:
  /// `undecayed` as in FlatLayout.
  explicit Optimizer(std::vector<Slice> undecayed) : undecayed_(std::move(undecayed)) {}

  /// Updates the parameters of `slice` by `scale` × the sum of the gradients. The state is taken as zero at hyper.step 1.
  void update(const Hyper& hyper, double scale, Slice slice, const UpdateArrays& arrays) const;

 private:
  std::vector<Slice> undecayed_;
};

} // namespace mgpu::worker::collective
