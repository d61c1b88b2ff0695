#include "agent/coordinator/rank_heartbeats.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "agent/supervisor/stuck_agent.hpp"

namespace mgpu::agent {

using wire::Type;

void RankHeartbeats::beat(double now, bool watch, const std::function<void(int rank, const std::string& reason)>& silent) {
  const RankState& own = ranks_.at(0);
  wire::Buffer word;
  wire::encode(wire::Heartbeat{timeout_s_, getpid(), own.join ? own.join->node : ""}, word);
  for (int rank = 1; rank < ranks_.size(); ++rank) {
    const RankState& state = ranks_.at(rank);
    // A silent rank may only be suspended: it still gets heartbeats, one at a time.
    if (!state.gone || messenger_.idle(rank)) messenger_.post(rank, Type::heartbeat, wire::View(word));
    if (!watch || state.gone || now - state.heard_s <= timeout_s_) continue;
    end_agent(rank);
    silent(rank, fmt::format("nothing heard from it for {:.0f} s", now - state.heard_s));
  }
}

/// A node that is silent as a whole is left to mpirun.
void RankHeartbeats::end_agent(int rank) {
  if (!ranks_.at(rank).join) return; // it never joined
  const wire::Join& agent = *ranks_.at(rank).join;
  for (int other = 0; other < ranks_.size(); ++other) {
    const RankState& state = ranks_.at(other);
    if (other == rank || state.gone || !state.join || state.join->node != agent.node) continue;
    if (other == 0)
      end_stuck_agent(agent.pid);
    else
      messenger_.post_message(other, Type::end_agent, wire::EndAgent{agent.pid});
    return;
  }
}

} // namespace mgpu::agent
