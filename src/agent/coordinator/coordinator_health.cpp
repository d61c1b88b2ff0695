// What the ranks' GPUs show.
#include <fmt/format.h>

#include "agent/coordinator/coordinator.hpp"
#include "common/support/rank_logs.hpp"

namespace mgpu::agent {

void Coordinator::name_gpus(const std::vector<comm::RankFacts>& facts) {
  for (int rank = 0; rank < rank_table_.size(); ++rank)
    for (const wire::Device& device : facts[static_cast<std::size_t>(rank)].hello.devices)
      if (device.index == bindings_[static_cast<std::size_t>(rank)].device) rank_table_.at(rank).gpu_uuid = device.uuid;
}

void Coordinator::on_health(int rank, const wire::Health& health) {
  if (starting()) return;
  RankState& state = rank_table_.at(rank);
  const bool changed = health.state != state.gpu.state();
  state.gpu.add(health, now_s() - began_s_);
  for (const std::string& warning : health.warnings) {
    log(rank, log_warning, fmt::format("GPU {}: {}", state.gpu_uuid, warning));
    say(fmt::format("warning: rank {} on {}, {}: {}", rank, state.join->host, state.gpu_uuid, warning));
  }
  if (changed) log(rank, log_warning, fmt::format("GPU {}: {}", state.gpu_uuid, health.reason));
  workload_->on_health(rank, health, changed);
}

} // namespace mgpu::agent
