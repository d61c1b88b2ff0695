#pragma once
// The exchange of a training's ranks: shared memory for CPUs, NCCL for GPUs.
#include "common/wire/training_messages.hpp"
#include "mgpu/work.hpp"
#include "worker/collective/channel_inter_node_reducer.hpp"
#include "worker/train/abortable_exchange.hpp"
#include "worker/train/settings.hpp"

namespace mgpu::worker::train {

/// NCCL ids for Trainable::nccl_id, one per stage, concatenated, on rank 0 with a GPU; else "".
std::string meeting_points(const RankContext& context, std::size_t stages);

/// The arguments must outlive the returned function.
OpenExchange exchange_maker(const wire::Connect& connect, const RankContext& context, const Settings& settings,
                            collective::ChannelReducers& reducers);

} // namespace mgpu::worker::train
