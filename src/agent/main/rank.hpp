#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agent/comm/environment.hpp"
#include "agent/gpu_health/gpu_memory.hpp"
#include "agent/supervisor/summing_worker.hpp"
#include "agent/supervisor/supervisor.hpp"

namespace mgpu::agent {

/// Shared memory between an agent and its worker: some batches of results.
inline constexpr std::size_t ring_bytes = 256u << 20;

/// A usage error of all ranks, which rank 0 reports.
struct ReportedByRank0 {};

/// One of several tasks that MPI has not joined must not run. `world_size`: -1 before MPI starts. Throws usage_error on the first task,
/// ReportedByRank0 on the others.
void require_joined(const comm::LauncherFacts& facts, int world_size, const std::string& command);

/// One rank of a run. The worker starts before MPI, so that LibTorch loads while MPI connects.
struct Rank {
  /// `arguments`: may limit the start of MPI (--start-timeout). `command`: as typed. Throws as require_joined.
  Rank(const comm::LauncherFacts& facts, const std::vector<std::string>& arguments, const std::string& command);
  /// What rank 0 is told of this rank.
  wire::Join describe(const comm::LauncherFacts& facts) const;
  /// Ends the worker and MPI, and returns `code`. After a lost rank (`without_finalize`) MPI_Finalize would wait forever: the
  /// process then ends here. It also ends here if an abandoned thread (`left_behind`, or one in NVML) may use objects that the normal
  /// end of a process destroys.
  int leave(int code, bool without_finalize, bool left_behind = false);
  void end_worker() { supervisor.end(); }
  /// The way to the worker; between nodes with the sums of a training on CPUs.
  WorkerLink& worker();

  gpu_health::GpuMemoryLook memory_look; ///< first: its thread works while the others start
  Supervisor supervisor;
  comm::Environment environment;

 private:
  std::optional<SummingWorker> summing_;
};

} // namespace mgpu::agent
