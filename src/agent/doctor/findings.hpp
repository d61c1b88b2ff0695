#pragma once
// What is wrong with a start of ranks, before a job fails by it. Pure functions over what the ranks have told.
#include <string>
#include <vector>

#include "agent/comm/binding.hpp"
#include "agent/slurm/slurm.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent::doctor {

/// Everything that one rank has told.
struct RankReport {
  wire::Join join;
  wire::Hello hello;
  wire::Surveyed survey;
  double clock_skew_s = 0;        ///< its clock minus rank 0's
  double clock_uncertainty_s = 0; ///< half of the time between question and answer
};

struct Finding {
  std::string what;    ///< one sentence, with rank and node
  std::string instead; ///< the line to type, or what to do
};

struct Surroundings {
  comm::Launcher launcher = comm::Launcher::none;
  slurm::SlurmFacts slurm;
  std::string mpi_plugins;          ///< what `srun --mpi=list` prints; "" outside SLURM
  std::uint64_t rank_shm_bytes = 0; ///< shared memory that one rank needs
};

/// Each with the line that mends it, in the order in which to mend them; empty: nothing is wrong.
std::vector<Finding> find_faults(const std::vector<RankReport>& ranks, const Surroundings& around);

} // namespace mgpu::agent::doctor
