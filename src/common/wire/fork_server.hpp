#pragma once

namespace mgpu::wire {

/// Leaves a copy of this process behind that makes further workers by fork(), at the request of the agent at the other end of `control`
/// (common/wire/fork_request.hpp). To be called while the process has one thread and has opened nothing; the libraries are loaded by then, and
/// that is what takes a new process its time.
///
/// Returns in every process that is to be a worker: the caller, and each that is forked later, which then has its own descriptors under
/// the numbers of WorkerDescriptors, its own TMPDIR, and ends when its agent does. `control` is closed there. The copy itself ends when
/// the agent closes its end. Where there is a second thread already, no copy is left: the agent starts programs.
void leave_fork_server(int control);

} // namespace mgpu::wire
