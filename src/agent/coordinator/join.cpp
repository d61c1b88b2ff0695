#include "agent/coordinator/join.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "agent/supervisor/bad_devices.hpp"
#include "agent/write/hdf5/hdf5_version.hpp"
#include "common/support/clock.hpp"
#include "common/support/cpu_list.hpp"

namespace mgpu::agent {

namespace {

/// The lowest number among the hyperthreads of a core; `core` where the kernel does not list them.
std::int32_t first_sibling(std::int32_t core) {
  const auto siblings = read_cpu_list(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", core));
  return siblings.empty() ? core : siblings.front();
}

/// Cores that this process may use; the hyperthreads of a core are adjacent. mpirun's binding is widened to the cores that the
/// kernel allows (cgroup); other bindings (srun, taskset) are kept.
std::vector<std::int32_t> usable_cores(const comm::LauncherFacts& facts) {
  cpu_set_t set;
  if (facts.launcher == comm::Launcher::mpirun) {
    CPU_ZERO(&set);
    for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set); // the kernel cuts it to the allowed cores
  }
  std::vector<std::int32_t> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  std::map<std::int32_t, std::int32_t> first;
  for (const std::int32_t core : cores) first[core] = first_sibling(core);
  std::stable_sort(cores.begin(), cores.end(), [&](std::int32_t a, std::int32_t b) { return first[a] < first[b]; });
  return cores;
}

} // namespace

wire::Join describe_rank(const comm::LauncherFacts& facts, const comm::Environment& environment) {
  wire::Join join;
  join.node = facts.node;
  join.host = facts.host;
  join.pid = getpid();
  join.launcher_local_rank = facts.local_rank;
  join.shared_rank = environment.shared_rank();
  join.shared_size = environment.shared_size();
  join.cores = usable_cores(facts);
  const long pages = sysconf(_SC_AVPHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  join.memory_free_bytes =
      pages > 0 && page_bytes > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes) : 0;
  join.mpi = facts.launcher == comm::Launcher::none ? "none (one process)" : comm::Environment::version();
  join.hdf5 = write::hdf5_version();
  for (const BadDevice& device : BadDevices().read(unix_now_s())) join.bad_devices.emplace_back(device.uuid, device.reason);
  return join;
}

} // namespace mgpu::agent
