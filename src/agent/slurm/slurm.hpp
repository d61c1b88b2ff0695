#pragma once
// What SLURM says of this process, and what follows from it.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/comm/environment.hpp"

namespace mgpu::agent::slurm {

/// The environment of a process in a SLURM job; "" or -1 where it says nothing.
struct SlurmFacts {
  std::string job;                   ///< SLURM_JOB_ID
  std::string step;                  ///< SLURM_STEP_ID; "" in a batch script
  int tasks = -1, task = -1;         ///< of the step that srun started: SLURM_STEP_NUM_TASKS, SLURM_PROCID
  int nodes = -1;                    ///< of the step: SLURM_STEP_NUM_NODES
  int restarts = 0;                  ///< how often the job was requeued: SLURM_RESTART_COUNT
  std::string array_job, array_task; ///< SLURM_ARRAY_JOB_ID, SLURM_ARRAY_TASK_ID

  static SlurmFacts read();
};

/// "SLURM job 17, array task 17_2, requeued 1 time, step 0: 4 tasks on 2 nodes"; "" outside SLURM.
std::string describe(const SlurmFacts& facts);

/// Why this process must not run: it is one of several tasks of an srun step, but MPI has not joined them. Every task would do the whole
/// job, all to one output. `world_size`: as MPI sees it; -1: MPI is not started yet. The text names the command to type.
std::optional<std::string> unjoined_tasks(const SlurmFacts& facts, comm::Launcher launcher, int world_size,
                                          const std::string& command);

/// What a program prints; throws Error when it cannot be run or does not end.
using Ask = std::function<std::string(const std::vector<std::string>& command)>;
Ask ask_program(); ///< runs it, for some seconds at most

/// What `srun --mpi=list` prints; "" outside SLURM, or where it cannot be asked.
std::string mpi_plugins(const SlurmFacts& facts, const Ask& ask);

/// The seconds between TERM and KILL of this cluster (KillWait); SLURM's default, 30, where scontrol does not tell.
double kill_wait_s(const Ask& ask);

/// How long batches in hand may take after TERM: --grace, but no longer than SLURM waits before it kills.
double term_grace_s(comm::Launcher launcher, double grace_s, const Ask& ask);

} // namespace mgpu::agent::slurm
