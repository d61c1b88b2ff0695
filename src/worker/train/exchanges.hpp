#pragma once
// Which exchange joins the ranks of a training: shared memory for CPUs, NCCL for GPUs.
#include "common/wire/training_messages.hpp"
#include "mgpu/work.hpp"
#include "worker/collective/channel_inter_node_reducer.hpp"
#include "worker/train/abortable_exchange.hpp"
#include "worker/train/settings.hpp"

namespace mgpu::worker::train {

/// Where ranks with GPUs meet, for Trainable::nccl_id: one id a stage, one after another, from rank 0; "" from others and on CPUs.
std::string meeting_points(const RankContext& context, std::size_t stages);

/// All but `layout` and `stage` must outlive what is returned.
OpenExchange exchange_maker(const wire::Connect& connect, const RankContext& context, const Settings& settings,
                            collective::ChannelReducers& reducers);

} // namespace mgpu::worker::train
