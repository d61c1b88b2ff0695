#include "worker/train/step_sums.hpp"

#include <fmt/format.h>

#include <cmath>

#include "worker/device/torch.hpp"

namespace mgpu::worker::train {

namespace {

std::string item_list(const std::vector<std::uint64_t>& items) {
  constexpr std::size_t most_named = 8;
  std::string text;
  for (std::size_t at = 0; at < items.size() && at < most_named; ++at) text += fmt::format(" {}", items[at]);
  return items.size() > most_named ? text + " …" : text;
}

/// One copy, not one per micro-batch, because each copy waits for the device.
std::vector<double> to_host(const std::vector<std::pair<torch::Tensor, std::int64_t>>& losses, DeviceStreams& streams) {
  if (losses.empty()) return {};
  std::vector<torch::Tensor> scalars;
  for (const auto& [loss, rows] : losses) scalars.push_back(loss.reshape({}));
  const torch::Tensor fetched = streams.fetch(torch::stack(scalars));
  streams.finish(streams.record());
  const torch::Tensor values = fetched.to(torch::kDouble);
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

} // namespace

StepLosses read_losses(const StepSums& sums, DeviceStreams& streams) {
  StepLosses read;
  const std::vector<double> losses = to_host(sums.losses, streams);
  for (std::size_t at = 0; at < losses.size(); ++at) {
    const double loss = losses[at];
    if (!std::isfinite(loss)) {
      if (!read.not_finite_row) read.not_finite_row = sums.items[at].front();
      read.not_finite += item_list(sums.items[at]);
    }
    read.sum += loss * static_cast<double>(sums.losses[at].second);
  }
  return read;
}

} // namespace mgpu::worker::train
