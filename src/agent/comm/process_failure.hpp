#pragma once
// Process failures as MPI reports them (ULFM). Open MPI 5 under `mpirun --with-ft ulfm` does; elsewhere these functions report
// none, and a dead rank is detected by its missing heartbeats.
#include <mpi.h>

#include <vector>

namespace mgpu::agent::comm {

/// Whether `code` reports a dead process.
bool is_process_failure(int code);

/// Ranks of `communicator` known to be dead. Acknowledges them, so that receives from any source work again.
std::vector<int> acknowledge_failures(MPI_Comm communicator);

/// Whether the launcher keeps the other processes alive when one dies.
bool survives_failures();

} // namespace mgpu::agent::comm
