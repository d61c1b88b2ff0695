#pragma once

namespace mgpu::wire {

/// Leaves a copy of this process behind that forks further workers, at the request of the agent at the other end of `control`
/// (common/wire/fork_request.hpp). Call it while the process has one thread and no open resources, but with its libraries loaded,
/// which takes most of the time of a start.
///
/// Returns in every worker: in the caller, and in each process that is forked later, which has its own descriptors under the
/// numbers of WorkerDescriptors, its own TMPDIR, and ends when its agent does. `control` is closed there. The copy itself ends
/// when the agent closes its end. If the process already has a second thread, no copy is left: the agent then starts programs.
void leave_fork_server(int control);

} // namespace mgpu::wire
