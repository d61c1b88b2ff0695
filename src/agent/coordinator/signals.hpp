#pragma once
// Signals that ask a run to stop, and the launcher's death.
#include "agent/comm/environment.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// From now on INT, TERM, USR1 and USR2 only ask the run to stop. A third INT, or a second one that nobody has obeyed within some
/// seconds, ends the process. launcher_gone() notices the end of `launcher`. TERM of mpirun itself means that it kills soon; TERM of srun
/// is scancel, a time limit or pre-emption, and leaves KillWait.
/// `speaks`: the first of them is answered on standard error at once, by the handler itself: mpirun may leave less than a second.
void catch_signals(comm::Launcher launcher, bool speaks);

/// What this process has been told so far; number 0: nothing.
wire::Signal stop_request();

/// "signal USR1".
std::string signal_name(int number);

/// Whether the process that started this rank has ended.
bool launcher_gone();

} // namespace mgpu::agent
