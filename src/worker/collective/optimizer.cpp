#include "worker/collective/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "worker/collective/kernels.hpp"

namespace mgpu::worker::collective {

namespace {

// The sum of a chunk stays in the first-level cache until it is used. Chunks are short, so that the processor's prefetcher reads
// gradients, parameters and state side by side (256 elements took 1.8 ms, 4096 took 3.5).
constexpr std::size_t chunk_elements = 256;

SgdFactors sgd_factors(const Hyper& hyper, bool decay) {
  return {static_cast<float>(decay ? hyper.weight_decay : 0), static_cast<float>(hyper.momentum), hyper.nesterov,
          static_cast<float>(-hyper.lr)};
}

AdamwFactors adamw_factors(const Hyper& hyper, bool decay) {
  const auto step = static_cast<double>(hyper.step);
  AdamwFactors factors;
  factors.keep = static_cast<float>(1 - hyper.lr * (decay ? hyper.weight_decay : 0));
  factors.first_weight = static_cast<float>(1 - hyper.beta1);
  factors.beta2 = static_cast<float>(hyper.beta2);
  factors.second_weight = static_cast<float>(1 - hyper.beta2);
  factors.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(hyper.beta2, step)));
  factors.eps = static_cast<float>(hyper.eps);
  factors.minus_step = static_cast<float>(-hyper.lr / (1 - std::pow(hyper.beta1, step)));
  return factors;
}

} // namespace

int states_of(const Hyper& hyper) {
  if (hyper.kind == OptimizerKind::adamw) return 2;
  return hyper.momentum != 0 ? 1 : 0;
}

void Optimizer::update(const Hyper& hyper, double scale, Slice slice, const UpdateArrays& arrays) const {
  const Kernels& run = kernels();
  const int states = states_of(hyper);
  const SgdFactors sgd[2] = {sgd_factors(hyper, false), sgd_factors(hyper, true)};
  const AdamwFactors adamw[2] = {adamw_factors(hyper, false), adamw_factors(hyper, true)};
  auto plain = std::lower_bound(undecayed_.begin(), undecayed_.end(), slice.begin,
                                [](const Slice& part, std::size_t at) { return part.end <= at; });
  alignas(64) float sums[chunk_elements];
  for (std::size_t chunk = slice.begin; chunk < slice.end; chunk += chunk_elements) {
    const std::size_t chunk_end = std::min(chunk + chunk_elements, slice.end);
    run.sum(arrays.gradients.data(), arrays.gradients.size(), chunk, chunk_end - chunk, static_cast<float>(scale), sums);
    for (int s = 0; hyper.step == 1 && s < states; ++s)
      std::fill_n(arrays.states[s] + (chunk - slice.begin), chunk_end - chunk, 0.0F);
    for (std::size_t at = chunk; at < chunk_end;) {
      while (plain != undecayed_.end() && plain->end <= at) ++plain;
      const bool decay = plain == undecayed_.end() || at < plain->begin;
      const std::size_t border = plain == undecayed_.end() ? chunk_end : decay ? plain->begin : plain->end;
      const std::size_t end = std::min(border, chunk_end);
      const float* gradients = sums + (at - chunk);
      float* parameters = arrays.parameters + at;
      const std::size_t state_at = at - slice.begin;
      if (hyper.kind == OptimizerKind::adamw)
        run.adamw(adamw[decay], gradients, arrays.states[0] + state_at, arrays.states[1] + state_at, parameters, end - at);
      else
        run.sgd(sgd[decay], gradients, states > 0 ? arrays.states[0] + state_at : nullptr, parameters, end - at);
      at = end;
    }
  }
}

} // namespace mgpu::worker::collective
