#include "worker/collective_cuda/device_optimizer.hpp"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <fmt/format.h>

#include <algorithm>

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker::collective {

namespace {

torch::Tensor narrow(const torch::Tensor& flat, std::size_t begin, std::size_t size) {
  return flat.narrow(0, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(size));
}

} // namespace

DeviceOptimizer::DeviceOptimizer(const torch::Tensor& parameters, const torch::Tensor& gradients,
                                 const std::vector<Slice>& shares, const std::vector<Slice>& undecayed, int states)
    : parameters_(parameters) {
  std::vector<Slice> sorted = shares;
  std::sort(sorted.begin(), sorted.end(), [](const Slice& a, const Slice& b) { return a.begin < b.begin; });
  for (const Slice& share : sorted) {
    elements_ += share.size();
    if (!shard_.empty() && shard_.back().end == share.begin)
      shard_.back().end = share.end;
    else if (share.size() > 0)
      shard_.push_back(share);
  }
  for (int s = 0; s < states; ++s) states_.push_back(torch::zeros({static_cast<std::int64_t>(elements_)}, parameters.options()));

  std::size_t state_at = 0;
  for (const Slice& share : shard_)
    for (std::size_t at = share.begin; at < share.end;) {
      const auto plain = std::find_if(undecayed.begin(), undecayed.end(), [&](const Slice& slice) { return slice.end > at; });
      const bool decayed = plain == undecayed.end() || at < plain->begin;
      const std::size_t border = plain == undecayed.end() ? share.end : decayed ? plain->begin : plain->end;
      const std::size_t size = std::min(border, share.end) - at;
      Pieces& pieces = pieces_[decayed ? 1 : 0];
      pieces.parameters.push_back(narrow(parameters, at, size));
      pieces.gradients.push_back(narrow(gradients, at, size));
      for (std::size_t s = 0; s < states_.size(); ++s) pieces.states[s].push_back(narrow(states_[s], state_at, size));
      at += size;
      state_at += size;
    }
}

void DeviceOptimizer::update(const Hyper& hyper, double scale) {
  if (states_of(hyper) > static_cast<int>(states_.size()))
    throw Error(
        fmt::format("the optimizer needs {} states for each parameter, {} were opened", states_of(hyper), states_.size()));
  const torch::NoGradGuard no_grad;
  if (hyper.step == 1)
    for (torch::Tensor& state : states_) state.zero_();
  const torch::Tensor divisor = torch::full({1}, 1 / scale, parameters_.options()); // the kernels divide by it
  const torch::Tensor steps = torch::full({1}, static_cast<double>(hyper.step), parameters_.options());
  for (int decayed = 0; decayed < 2; ++decayed) {
    Pieces& pieces = pieces_[static_cast<std::size_t>(decayed)];
    if (pieces.parameters.empty()) continue;
    const double decay = decayed == 1 ? hyper.weight_decay : 0;
    if (hyper.kind == OptimizerKind::sgd) {
      const std::vector<torch::Tensor> none;
      at::_fused_sgd_(pieces.parameters, pieces.gradients, hyper.momentum != 0 ? pieces.states[0] : none, decay, hyper.momentum,
                      hyper.lr,
                      /*dampening=*/0, hyper.nesterov, /*maximize=*/false, /*is_first_step=*/hyper.step == 1, divisor);
    } else {
      const std::vector<torch::Tensor> steps_of_all(pieces.parameters.size(), steps);
      at::_fused_adamw_(pieces.parameters, pieces.gradients, pieces.states[0], pieces.states[1], {}, steps_of_all, hyper.lr,
                        hyper.beta1, hyper.beta2, decay, hyper.eps, /*amsgrad=*/false, /*maximize=*/false, divisor);
    }
  }
}

torch::Tensor DeviceOptimizer::part(int state, std::size_t k) const {
  if (state < 0) return narrow(parameters_, shard_[k].begin, shard_[k].size());
  std::size_t begin = 0;
  for (std::size_t i = 0; i < k; ++i) begin += shard_[i].size();
  return narrow(states_[static_cast<std::size_t>(state)], begin, shard_[k].size());
}

void DeviceOptimizer::check(int state, std::size_t size) const {
  if (state < -1 || state >= static_cast<int>(states_.size()) || size != elements_)
    throw Error(
        fmt::format("no shard of {} numbers, state {} (there are {} and {} states)", size, state, elements_, states_.size()));
}

void DeviceOptimizer::read(int state, std::span<float> out) const {
  check(state, out.size());
  std::size_t at = 0;
  for (std::size_t k = 0; k < shard_.size(); at += shard_[k].size(), ++k)
    torch::from_blob(&out[at], {static_cast<std::int64_t>(shard_[k].size())}).copy_(part(state, k));
}

void DeviceOptimizer::write(int state, std::span<const float> in) {
  check(state, in.size());
  std::size_t at = 0;
  for (std::size_t k = 0; k < shard_.size(); at += shard_[k].size(), ++k)
    part(state, k).copy_(torch::from_blob(const_cast<float*>(&in[at]), {static_cast<std::int64_t>(shard_[k].size())}));
}

} // namespace mgpu::worker::collective
