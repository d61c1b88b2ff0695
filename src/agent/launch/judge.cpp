// What the end of a job means.
#include "agent/launch/launch.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::launch {

namespace {

constexpr int stopped = static_cast<int>(ExitCode::stopped);
constexpr int failed = static_cast<int>(ExitCode::failed);
constexpr int usage = static_cast<int>(ExitCode::usage);

} // namespace

Verdict judge(const End& end, int starts, int max_restarts) {
  const bool may = starts <= max_restarts && !end.asked_to_stop;
  if (end.spoke && end.status.done) {
    const int code = end.status.exit_code;
    // A lost machine is no fault of the job. Any other early end (a signal, a full disk) would only come again.
    if (code == stopped && end.status.lost_machines) return {may, stopped};
    // The rank 0 of the start before may still hold the output for a moment.
    if (code == usage && starts > 1) return {may, usage};
    return {false, code};
  }
  if (end.asked_to_stop || end.spoke) return {may, stopped}; // rank 0 died; what it had finished is kept
  // Not a word of rank 0. mpirun, or a rank, has found something wrong with the job (1, 2), or something died while all were starting.
  const bool refused = end.mpirun_code == failed || end.mpirun_code == usage;
  return {may && (starts > 1 || !refused), refused ? end.mpirun_code : end.mpirun_code == stopped ? stopped : failed};
}

} // namespace mgpu::agent::launch
