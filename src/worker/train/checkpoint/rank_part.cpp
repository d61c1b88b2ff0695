#include "worker/train/checkpoint/rank_part.hpp"

#include <fmt/format.h>

#include <map>

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker::train {

Part collect_part(const RankContext& context, collective::Exchange& exchange, std::size_t elements, int states,
                  const std::vector<NamedTensor>& unsharded) {
  Part part;
  part.rank = context.rank;
  part.world_size = context.world_size;
  part.elements = elements;
  part.slices = exchange.shard();
  std::size_t own = 0;
  for (const collective::Slice& slice : part.slices) own += slice.size();
  for (int array = -1; array < states; ++array) {
    part.arrays.emplace_back(own);
    exchange.read_shard(array, part.arrays.back());
  }
  const torch::NoGradGuard no_grad;
  for (const NamedTensor& each : unsharded)
    part.tensors.push_back({each.name, each.tensor.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous()});
  return part;
}

void put_back(const Restored& restored, const std::string& folder, collective::Exchange& exchange, int states,
              const std::vector<NamedTensor>& unsharded) {
  if (restored.arrays.size() != static_cast<std::size_t>(states) + 1)
    throw usage_error(fmt::format("the checkpoint {} was made with another --optimizer or --momentum", folder));
  for (int array = -1; array < states; ++array) exchange.write_shard(array, restored.arrays[static_cast<std::size_t>(array + 1)]);
  std::map<std::string, torch::Tensor> by_name;
  for (const NamedTensor& each : restored.tensors) by_name[each.name] = each.tensor;
  const torch::NoGradGuard no_grad;
  for (const NamedTensor& each : unsharded) {
    const auto found = by_name.find(each.name);
    if (found == by_name.end() || found->second.sizes() != each.tensor.sizes())
      throw usage_error(fmt::format("the checkpoint {} does not have {}", folder, each.name));
    torch::Tensor target = each.tensor.detach();
    target.copy_(found->second);
  }
}

} // namespace mgpu::worker::train
