#include "worker/train/exchanges.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "worker/collective/shared_exchange.hpp"
#include "worker/collective_cuda/nccl_exchange.hpp"

namespace mgpu::worker::train {

namespace {

std::unique_ptr<collective::Exchange> open_on_gpus(const wire::Connect& connect, const RankContext& context,
                                                   const Settings& settings, const collective::FlatLayout& layout,
                                                   std::size_t stage) {
  const std::size_t id_bytes = connect.nccl_id.size() / settings.stages.size();
  collective::NcclSpec spec;
  spec.id = connect.nccl_id.substr(stage * id_bytes, id_bytes);
  spec.rank = context.rank;
  spec.size = context.world_size;
  spec.hosts = connect.hosts;
  spec.device = context.device.index();
  spec.timeout_s = settings.reduce_timeout_s;
  spec.shard = settings.shard_optimizer;
  spec.compress = settings.compress;
  return collective::open_nccl_exchange(spec, layout, collective::states_of(settings.hyper));
}

std::unique_ptr<collective::Exchange> open_on_cpus(const wire::Connect& connect, const RankContext& context,
                                                   const Settings& settings, collective::ChannelReducers& reducers,
                                                   const collective::FlatLayout& layout, std::size_t stage) {
  collective::SharedSpec spec;
  spec.token = fmt::format("{}-stage{}", connect.token, stage);
  spec.rank = context.rank;
  spec.node_of.assign(connect.node_of.begin(), connect.node_of.end());
  spec.hosts = connect.hosts;
  spec.timeout_s = settings.reduce_timeout_s;
  const auto first = std::find(spec.node_of.begin(), spec.node_of.end(), spec.node_of[static_cast<std::size_t>(spec.rank)]);
  const bool several_nodes = std::any_of(spec.node_of.begin(), spec.node_of.end(), [](int node) { return node > 0; });
  if (several_nodes && first - spec.node_of.begin() == spec.rank) spec.reducer = reducers.open(spec.token);
  return collective::open_shared_exchange(spec, layout, collective::states_of(settings.hyper));
}

} // namespace

std::string meeting_points(const RankContext& context, std::size_t stages) {
  std::string ids;
  if (context.rank == 0 && context.device.is_cuda())
    for (std::size_t stage = 0; stage < stages; ++stage) ids += collective::new_nccl_id();
  return ids;
}

OpenExchange exchange_maker(const wire::Connect& connect, const RankContext& context, const Settings& settings,
                            collective::ChannelReducers& reducers) {
  return [&](const collective::FlatLayout& layout, std::size_t stage) {
    return context.device.is_cuda() ? open_on_gpus(connect, context, settings, layout, stage)
                                    : open_on_cpus(connect, context, settings, reducers, layout, stage);
  };
}

} // namespace mgpu::worker::train
