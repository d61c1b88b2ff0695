#pragma once
// What MPI can say of processes that died. Open MPI 5 under `mpirun --with-ft ulfm` can; elsewhere nothing here ever happens, and a dead
// rank is known by its silence.
#include <mpi.h>

#include <vector>

namespace mgpu::agent::comm {

/// Whether `code` says that a process is dead, and nothing worse.
bool is_process_failure(int code);

/// Ranks of `communicator` known to be dead. From now on they are known: receiving from anybody works again.
std::vector<int> acknowledge_failures(MPI_Comm communicator);

/// Whether the launcher lets the others go on when a process dies.
bool survives_failures();

} // namespace mgpu::agent::comm
