#pragma once
// Optimizer steps on a device, by PyTorch's fused kernels over views of flat arrays.

#include <array>
#include <span>
#include <vector>

#include "mgpu/tensor.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::collective {

class DeviceOptimizer {
 public:
  /// Keeps `states` state values per parameter in `shares` of the flat arrays; `undecayed` as in FlatLayout.
  DeviceOptimizer(const torch::Tensor& parameters, const torch::Tensor& gradients, const std::vector<Slice>& shares,
                  const std::vector<Slice>& undecayed, int states);

  /// Queues a step with `scale` × the gradients on the current stream.
  void update(const Hyper& hyper, double scale);

  /// As in Exchange.
  std::vector<Slice> shard() const { return shard_; }
  void read(int state, std::span<float> out) const;
  void write(int state, std::span<const float> in);

 private:
  /// Pieces with or without weight decay, in matching order.
  struct Pieces {
    std::vector<torch::Tensor> parameters, gradients, states[2];
  };
  /// Part k of the shard: in the flat parameters (state -1), or in a state.
  torch::Tensor part(int state, std::size_t k) const;
  void check(int state, std::size_t size) const;

  torch::Tensor parameters_;
  std::vector<torch::Tensor> states_; ///< the shard's parts one after another
  std::vector<Slice> shard_;
  std::size_t elements_ = 0;     ///< of the shard
  std::array<Pieces, 2> pieces_; ///< 0 undecayed, 1 decayed
};

} // namespace mgpu::worker::collective
