// The decision after the end of a job.
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
    // A lost machine is not a failure of the job. Any other early end (a signal, a full disk) would only repeat itself.
    if (code == stopped && end.status.lost_machines) return {may, stopped};
    // The previous rank 0 may still hold the lock of the output for a moment.
    if (code == usage && starts > 1) return {may, usage};
    return {false, code};
  }
  if (end.asked_to_stop || end.spoke) return {may, stopped}; // rank 0 died; what it had finished is kept
  // No status from rank 0: mpirun or a rank has rejected the job (1, 2), or a process died during the start.
  const bool refused = end.mpirun_code == failed || end.mpirun_code == usage;
  return {may && (starts > 1 || !refused), refused ? end.mpirun_code : end.mpirun_code == stopped ? stopped : failed};
}

} // namespace mgpu::agent::launch
