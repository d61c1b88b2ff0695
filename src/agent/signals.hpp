#pragma once

namespace mgpu::agent {

/// From now on INT, TERM and USR2 only ask the run to stop; a second INT ends the process at once. Ranks other than 0 wait for
/// rank 0's word whatever reaches them (`obey` false).
void catch_signals(bool obey);

/// The signal that asked this run to stop; 0: none.
int stop_signal();

} // namespace mgpu::agent
