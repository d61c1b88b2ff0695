#include "agent/doctor/findings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "common/support/clock.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent::doctor {

namespace {

/// The ranks of each node, and what a node's rules need.
struct Node {
  std::string name;
  std::vector<std::size_t> ranks;
};

std::vector<Node> nodes_of(const std::vector<RankReport>& ranks) {
  std::vector<Node> nodes;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string& name = ranks[rank].join.node;
    const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const Node& node) { return node.name == name; });
    if (found == nodes.end())
      nodes.push_back({name, {rank}});
    else
      found->ranks.push_back(rank);
  }
  return nodes;
}

std::set<std::string> gpus_of(const RankReport& rank) {
  std::set<std::string> gpus;
  for (const wire::Device& device : rank.hello.devices)
    gpus.insert(device.uuid.empty() ? fmt::format("device {}", device.index) : device.uuid);
  return gpus;
}

std::set<std::string> gpus_of(const Node& node, const std::vector<RankReport>& ranks) {
  std::set<std::string> gpus;
  for (const std::size_t rank : node.ranks) gpus.merge(gpus_of(ranks[rank]));
  return gpus;
}

bool by_srun(const Surroundings& around) {
  return around.launcher == comm::Launcher::srun;
}

std::string a_rank_for_each(std::size_t gpus, const Surroundings& around) {
  return by_srun(around) ? fmt::format("srun --mpi=pmix --ntasks-per-node={0} --gpus-per-node={0} …", gpus)
                         : fmt::format("mpirun --map-by ppr:{}:node …", gpus);
}

void check_builds(const std::vector<RankReport>& ranks, std::vector<Finding>& found) {
  const auto differs = [&](std::size_t rank, const char* what, const std::string& mine, const std::string& first) {
    if (mine == first) return;
    found.push_back(
        {fmt::format("rank {} on {} has {} {}, rank 0 {}: results could differ", rank, ranks[rank].join.node, what, mine, first),
         "install one build on every node, or start from a folder that all nodes share"});
  };
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
    const wire::Versions &mine = ranks[rank].hello.versions, &first = ranks[0].hello.versions;
    differs(rank, "mgpu", mine.mgpu, first.mgpu);
    differs(rank, "LibTorch", mine.torch, first.torch);
    differs(rank, "CUDA", mine.cuda, first.cuda);
    differs(rank, "NCCL", mine.nccl, first.nccl);
    differs(rank, "FFmpeg", mine.ffmpeg, first.ffmpeg);
    differs(rank, "JPEG", mine.jpeg, first.jpeg);
    differs(rank, "MPI", ranks[rank].join.mpi, ranks[0].join.mpi);
  }
}

void check_gpus(const std::vector<Node>& nodes, const std::vector<RankReport>& ranks, const Surroundings& around,
                std::vector<Finding>& found) {
  std::vector<std::string> with, without;
  std::string note; ///< why a node has none
  for (const Node& node : nodes) {
    const std::set<std::string> gpus = gpus_of(node, ranks);
    (gpus.empty() ? without : with).push_back(node.name);
    if (gpus.empty()) {
      note = ranks[node.ranks[0]].hello.device_note;
      continue;
    }
    const std::size_t count = node.ranks.size();
    const bool hidden = std::any_of(node.ranks.begin(), node.ranks.end(),
                                    [&](std::size_t rank) { return gpus_of(ranks[rank]).size() < gpus.size(); });
    if (count > gpus.size())
      found.push_back({fmt::format("{} ranks on {} share {}", count, node.name, counted(gpus.size(), "GPU")),
                       a_rank_for_each(gpus.size(), around)});
    else if (hidden && count > 1)
      found.push_back(
          {fmt::format("the ranks on {} see different GPUs: NCCL cannot use NVLink between GPUs that are hidden from each other",
                       node.name),
           by_srun(around) ? fmt::format("srun --mpi=pmix --ntasks-per-node={} --gpus-per-node={} … without --gpus-per-task "
                                         "and --gpu-bind; each rank takes its own GPU",
                                         count, gpus.size())
                           : "do not set CUDA_VISIBLE_DEVICES for each rank; each rank takes its own GPU"});
    else if (count < gpus.size() && around.launcher != comm::Launcher::none)
      found.push_back({fmt::format("{} of the {} GPUs on {} have no rank", gpus.size() - count, gpus.size(), node.name),
                       a_rank_for_each(gpus.size(), around)});
  }
  if (!with.empty() && !without.empty())
    found.push_back({fmt::format("{} has GPUs, {} has none ({}): a run needs nodes of one kind", with[0], without[0],
                                 note.empty() ? "no device" : note),
                     by_srun(around) ? "ask for a partition of GPU nodes with --gpus-per-node=…, or give --devices cpu"
                                     : "leave that host out, or give --devices cpu"});
}

void check_cores(const std::vector<Node>& nodes, const std::vector<RankReport>& ranks, const Surroundings& around,
                 std::vector<Finding>& found) {
  constexpr std::size_t least_with_gpu = 2; // one that decodes beside the one that runs
  for (const Node& node : nodes) {
    std::map<std::vector<std::int32_t>, std::size_t> users;
    for (const std::size_t rank : node.ranks) ++users[ranks[rank].join.cores];
    for (const std::size_t rank : node.ranks) {
      const std::vector<std::int32_t>& cores = ranks[rank].join.cores;
      const std::size_t sharing = users[cores];
      const std::size_t own = cores.size() / sharing;
      const bool gpu = !ranks[rank].hello.devices.empty();
      const std::size_t fair = static_cast<std::size_t>(std::max(ranks[rank].survey.node_cores, 1)) / node.ranks.size();
      const bool too_few = own < (gpu ? least_with_gpu : 1);
      const bool small_share = by_srun(around) && 2 * own <= fair; // mpirun's binding is widened, srun's stays
      if (cores.empty() || !(too_few || small_share)) continue;
      found.push_back(
          {own == 0 ? fmt::format("{} ranks on {} share {}", sharing, node.name, counted(cores.size(), "core"))
                    : fmt::format("a rank on {} has {} of {} cores to itself", node.name, own, ranks[rank].survey.node_cores),
           by_srun(around)
               ? fmt::format(
                     "srun --mpi=pmix --cpus-per-task={} … (in a batch script: export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK)",
                     std::max<std::size_t>(fair, 1))
               : fmt::format("fewer ranks on this node, or more cores for the job (this process may use {} of {})", cores.size(),
                             ranks[rank].survey.node_cores)});
      break; // once a node
    }
  }
}

void check_limits(const std::vector<Node>& nodes, const std::vector<RankReport>& ranks, const Surroundings& around,
                  std::vector<Finding>& found) {
  constexpr std::uint64_t files_at_least = 256,
                          files_per_rank = 4; // TCP has a connection to each rank; loaders, rings and models the rest
  const std::uint64_t wanted_files = files_at_least + files_per_rank * ranks.size();
  for (const Node& node : nodes) {
    const wire::Surveyed& survey = ranks[node.ranks[0]].survey;
    const std::uint64_t wanted = around.rank_shm_bytes * node.ranks.size();
    if (survey.shm_free_bytes < wanted)
      found.push_back(
          {fmt::format("/dev/shm on {} has {} free, its {} need {}", node.name,
                       human_bytes(static_cast<double>(survey.shm_free_bytes)), counted(node.ranks.size(), "rank"),
                       human_bytes(static_cast<double>(wanted))),
           fmt::format("ls /dev/shm shows what earlier jobs left; as root: mount -o remount,size={}M /dev/shm; in a container: "
                       "--shm-size={}m",
                       2 * wanted >> 20, 2 * wanted >> 20)});
    if (survey.open_files < wanted_files)
      found.push_back({fmt::format("a process on {} may open {} files; {} ranks need {}", node.name, survey.open_files,
                                   ranks.size(), wanted_files),
                       fmt::format("ulimit -n {} before the start{}", 2 * wanted_files,
                                   around.slurm.job.empty() ? "" : "; sbatch --propagate=NOFILE")});
  }
}

void check_folder_and_clock(const std::vector<Node>& nodes, const std::vector<RankReport>& ranks, std::vector<Finding>& found) {
  constexpr double most_skew_s = 1;
  for (const Node& node : nodes) {
    const RankReport& rank = ranks[node.ranks[0]];
    if (!rank.survey.folder_error.empty())
      found.push_back({fmt::format("{}: {}", node.name, rank.survey.folder_error),
                       "--output in a folder that every node mounts; inputs that only rank 0 sees: --ship bytes"});
    if (std::abs(rank.clock_skew_s) - rank.clock_uncertainty_s > most_skew_s)
      found.push_back({fmt::format("the clock of {} is {:.1f} s {} rank 0's: times in logs, and which file is newer, are wrong",
                                   node.name, std::abs(rank.clock_skew_s), rank.clock_skew_s > 0 ? "ahead of" : "behind"),
                       "as root on that node: chronyc makestep"});
  }
}

bool is_virtual(const std::string& name) {
  return name.starts_with("docker") || name.starts_with("virbr") || name.starts_with("veth") || name.starts_with("br-");
}

/// NCCL's own rules (NCCL user guide, NCCL_SOCKET_IFNAME): a list of prefixes, "=" for whole names, "^" for all others.
bool selects(std::string setting, const std::string& name) {
  const bool others = setting.starts_with("^");
  if (others) setting.erase(0, 1);
  const bool whole = setting.starts_with("=");
  if (whole) setting.erase(0, 1);
  bool any = false;
  for (const std::string_view each : split_trimmed(setting, ',')) any |= whole ? name == each : name.starts_with(each);
  return any != others;
}

void check_network(const std::vector<Node>& nodes, const std::vector<RankReport>& ranks, std::vector<Finding>& found) {
  if (nodes.size() < 2) return;
  for (const Node& node : nodes) {
    const wire::Surveyed& survey = ranks[node.ranks[0]].survey;
    const std::string& setting = survey.nccl_interface;
    const bool any = std::any_of(survey.interfaces.begin(), survey.interfaces.end(), [&](const std::string& name) {
      return setting.empty() ? !is_virtual(name) : selects(setting, name);
    });
    if (any) continue;
    found.push_back({setting.empty()
                         ? fmt::format("{} has no network interface that reaches other nodes ({})", node.name,
                                       survey.interfaces.empty() ? "only the loopback"
                                                                 : fmt::format("{}", fmt::join(survey.interfaces, ", ")))
                         : fmt::format("NCCL_SOCKET_IFNAME={} names no interface of {} ({})", setting, node.name,
                                       fmt::join(survey.interfaces, ", ")),
                     setting.empty() ? "export NCCL_SOCKET_IFNAME=… with the interface of the cluster's network (ip -br addr)"
                                     : "unset NCCL_SOCKET_IFNAME, or name an interface that every node has (ip -br addr)"});
  }
}

void check_slurm(const Surroundings& around, std::vector<Finding>& found) {
  if (around.slurm.job.empty() || around.mpi_plugins.find("pmix") != std::string::npos) return;
  found.push_back({"this SLURM has no PMIx plugin (srun --mpi=list): srun cannot join the ranks",
                   "mpirun -np … in the batch script, or ask the administrator for slurm's PMIx plugin"});
}

} // namespace

std::vector<Finding> find_faults(const std::vector<RankReport>& ranks, const Surroundings& around) {
  std::vector<Finding> found;
  const std::vector<Node> nodes = nodes_of(ranks);
  check_builds(ranks, found);
  check_gpus(nodes, ranks, around, found);
  check_cores(nodes, ranks, around, found);
  check_limits(nodes, ranks, around, found);
  check_folder_and_clock(nodes, ranks, found);
  check_network(nodes, ranks, found);
  check_slurm(around, found);
  return found;
}

} // namespace mgpu::agent::doctor
