#pragma once
// Signals that request a stop, and the end of the launcher.
#include "agent/comm/environment.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// From now on INT, TERM, USR1 and USR2 only request a stop. A third INT, or a second one that is not handled within some
/// seconds, ends the process. launcher_gone() then detects the end of `launcher`. TERM from mpirun itself means that it kills soon; TERM under
/// srun is scancel, a time limit or pre-emption, and leaves KillWait seconds. `speaks`: the signal handler itself answers the first signal on
/// standard error, because mpirun may leave less than a second.
void catch_signals(comm::Launcher launcher, bool speaks);

/// The signals that this process has received; number 0: none.
wire::Signal stop_request();

/// "signal USR1".
std::string signal_name(int number);

/// Whether the process that started this rank has ended.
bool launcher_gone();

} // namespace mgpu::agent
