#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "agent/comm/environment.hpp"

namespace mgpu::agent::comm {

namespace {

/// The first of `names` that is set to a number; -1 if none is.
int number_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    int value = -1;
    const char* end = text + std::strlen(text);
    if (std::from_chars(text, end, value).ptr == end) return value;
  }
  return -1;
}

} // namespace

LauncherFacts LauncherFacts::read() {
  LauncherFacts facts;
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  facts.host = name.data();
  const char* slurm_node = std::getenv("SLURMD_NODENAME");
  facts.node = slurm_node != nullptr ? slurm_node : facts.host;

  // mpirun's own variables first: inside an allocation SLURM's describe the batch step, not the rank.
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) {
    facts.launcher = Launcher::mpirun;
    facts.rank = number_of({"OMPI_COMM_WORLD_RANK"});
    facts.size = number_of({"OMPI_COMM_WORLD_SIZE"});
    facts.local_rank = number_of({"OMPI_COMM_WORLD_LOCAL_RANK"});
    facts.local_size = number_of({"OMPI_COMM_WORLD_LOCAL_SIZE"});
  } else if (std::getenv("PMIX_RANK") != nullptr || std::getenv("PMI_RANK") != nullptr) {
    const bool slurm = std::getenv("SLURM_PROCID") != nullptr;
    facts.launcher = slurm ? Launcher::srun : Launcher::mpirun;
    facts.rank = number_of({"PMIX_RANK", "PMI_RANK"});
    facts.size = number_of({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "PMI_SIZE"});
    facts.local_rank = number_of({"SLURM_LOCALID", "MPI_LOCALRANKID"});
  }
  return facts;
}

} // namespace mgpu::agent::comm
