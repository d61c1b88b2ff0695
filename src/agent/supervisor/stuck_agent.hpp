#pragma once
#include <sys/types.h>

namespace mgpu::agent {

/// Ends a process of this program on this node that answers nobody (stopped, or stuck in the kernel's hands): while it is there, mpirun
/// waits for it. Does nothing when `pid` is another program by now.
void end_stuck_agent(pid_t pid);

} // namespace mgpu::agent
