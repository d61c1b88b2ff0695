#pragma once
#include <sys/types.h>

namespace mgpu::agent {

/// Kills an agent on this node that does not respond (stopped, or stuck in the kernel), because mpirun would wait for it. Does
/// nothing when `pid` is another program by now.
void end_stuck_agent(pid_t pid);

} // namespace mgpu::agent
