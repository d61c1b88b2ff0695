// A GPU that gets too hot, or fails, in a training.
#include <fmt/format.h>

#include "agent/training/training_workload.hpp"

namespace mgpu::agent {

using wire::GpuState;

/// All ranks step together: one that rests would stop all, so heat is only told of. A GPU that fails is left at once, as what it computes from
/// now on may be wrong: the others restart from the last checkpoint where --min-ranks allows it, else the run stops there.
void TrainingWorkload::on_health(int rank, const wire::Health& health, bool changed) {
  if (!changed) return;
  const RankState& state = control_.rank_table().at(rank);
  const std::string gpu = fmt::format("rank {} on {}: its GPU {}", rank, state.join->host, state.gpu_uuid);
  if (health.state != GpuState::drained) {
    const bool hot = health.state == GpuState::held;
    return control_.say(
        fmt::format("{}{} is {}{}", hot ? "warning: " : "", gpu, health.reason, hot ? "; a training does not rest" : ""));
  }
  if (!error_.empty() || (progress_.total() > 0 && last_step() >= progress_.total())) return;
  const std::string reason = fmt::format("its GPU {} fails: {}", state.gpu_uuid, health.reason);
  const int least = config_.get<int>("min-ranks");
  if (least > 0 && control_.rank_table().living() > least && setup_.max_restarts > 0 && stop_reason_.empty()) {
    wire::Buffer bytes;
    wire::encode(wire::Halt{1, reason}, bytes);
    control_.post(rank, wire::Type::halt, wire::View(bytes));
    return control_.give_up(rank, reason);
  }
  fail(
      fmt::format(
          "{} fails: {}; it is left out of runs for a day, and the same command with --resume continues from the last checkpoint",
          gpu, health.reason),
      ExitCode::stopped);
}

} // namespace mgpu::agent
