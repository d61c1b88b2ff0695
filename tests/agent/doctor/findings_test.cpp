#include "agent/doctor/findings.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace mgpu::agent::doctor {
namespace {

using comm::Launcher;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t mib = 1u << 20;

std::vector<std::int32_t> cores(int first, int count) {
  std::vector<std::int32_t> list(static_cast<std::size_t>(count));
  std::iota(list.begin(), list.end(), first);
  return list;
}

/// A rank of a node with 64 cores, all of which it may use, and enough of everything.
RankReport rank_on(const std::string& node, const std::vector<std::string>& gpus) {
  RankReport rank;
  rank.join.node = rank.join.host = node;
  rank.join.mpi = "Open MPI v5.0.10";
  rank.join.cores = cores(0, 64);
  rank.hello.versions = {"1", "2", "3", "4", "5", "6"};
  for (std::size_t at = 0; at < gpus.size(); ++at) {
    wire::Device device;
    device.uuid = gpus[at];
    device.index = static_cast<std::int32_t>(at);
    rank.hello.devices.push_back(device);
  }
  if (gpus.empty()) rank.hello.device_note = "CUDA driver not found";
  rank.survey = {0, 0, std::uint64_t{64} << 30, 1 << 20, 64, {"eth0"}, "", ""};
  return rank;
}

std::vector<std::string> gpus(int count) {
  std::vector<std::string> names;
  for (int at = 0; at < count; ++at) names.push_back(fmt::format("GPU-{}", at));
  return names;
}

Surroundings under(Launcher launcher) {
  Surroundings around;
  around.launcher = launcher;
  around.rank_shm_bytes = 256 * mib;
  if (launcher == Launcher::srun) {
    around.slurm.job = "17";
    around.mpi_plugins = "MPI plugin types are...\n\tcray_shasta\n\tpmix\n";
  }
  return around;
}

/// What is found, each as "what | instead".
std::vector<std::string> found(const std::vector<RankReport>& ranks, const Surroundings& around) {
  std::vector<std::string> lines;
  for (const Finding& finding : find_faults(ranks, around)) lines.push_back(finding.what + " | " + finding.instead);
  return lines;
}

std::vector<RankReport> eight_on_two_sockets() {
  return std::vector<RankReport>(8, rank_on("n1", gpus(8)));
}

TEST(Findings, NothingIsWrongWithARankPerGpu) {
  EXPECT_THAT(found(eight_on_two_sockets(), under(Launcher::mpirun)), IsEmpty());
  EXPECT_THAT(found(eight_on_two_sockets(), under(Launcher::srun)), IsEmpty());
}

TEST(Findings, NothingIsWrongWithOneProcessOnACpuOrOnAMachineOfManyGpus) {
  EXPECT_THAT(found({rank_on("laptop", {})}, under(Launcher::none)), IsEmpty());
  EXPECT_THAT(found({rank_on("laptop", gpus(4))}, under(Launcher::none)), IsEmpty());
}

TEST(Findings, MoreRanksThanGpus) {
  const std::vector<RankReport> ranks(4, rank_on("n1", gpus(2)));
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)), ElementsAre("4 ranks on n1 share 2 GPUs | mpirun --map-by ppr:2:node …"));
  EXPECT_THAT(found(ranks, under(Launcher::srun)), ElementsAre(HasSubstr("--ntasks-per-node=2 --gpus-per-node=2")));
}

TEST(Findings, GpusWithoutARank) {
  EXPECT_THAT(found(std::vector<RankReport>(2, rank_on("n1", gpus(8))), under(Launcher::mpirun)),
              ElementsAre(HasSubstr("6 of the 8 GPUs on n1 have no rank")));
}

TEST(Findings, GpusThatTasksHideFromEachOther) {
  std::vector<RankReport> ranks;
  for (int rank = 0; rank < 4; ++rank) ranks.push_back(rank_on("n1", {fmt::format("GPU-{}", rank)}));
  EXPECT_THAT(found(ranks, under(Launcher::srun)), ElementsAre(testing::AllOf(HasSubstr("NVLink"), HasSubstr("--gpus-per-node=4"),
                                                                              HasSubstr("without --gpus-per-task"))));
}

TEST(Findings, ANodeWithoutGpusAmongThoseThatHaveSome) {
  EXPECT_THAT(
      found({rank_on("n1", gpus(1)), rank_on("n2", {})}, under(Launcher::srun)),
      ElementsAre(testing::AllOf(HasSubstr("n1 has GPUs, n2 has none (CUDA driver not found)"), HasSubstr("--devices cpu"))));
}

TEST(Findings, SharesOfCoresThatSrunGaveAreRead) {
  std::vector<RankReport> ranks = eight_on_two_sockets();
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) ranks[rank].join.cores = cores(static_cast<int>(8 * rank), 8);
  EXPECT_THAT(found(ranks, under(Launcher::srun)), IsEmpty()) << "a mask for each task: divided already";
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) ranks[rank].join.cores = cores(static_cast<int>(rank), 1);
  EXPECT_THAT(found(ranks, under(Launcher::srun)),
              ElementsAre(testing::AllOf(HasSubstr("a rank on n1 has 1 of 64 cores"), HasSubstr("--cpus-per-task=8"),
                                         HasSubstr("SRUN_CPUS_PER_TASK"))));
}

TEST(Findings, MoreRanksThanCores) {
  std::vector<RankReport> ranks(4, rank_on("n1", {}));
  for (RankReport& rank : ranks) rank.join.cores = cores(0, 2);
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)), ElementsAre(HasSubstr("4 ranks on n1 share 2 cores")));
}

TEST(Findings, LittleSharedMemoryAndFewFiles) {
  std::vector<RankReport> ranks = eight_on_two_sockets();
  for (RankReport& rank : ranks) rank.survey.shm_free_bytes = 64 * mib;
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)),
              ElementsAre(testing::AllOf(HasSubstr("/dev/shm on n1"), HasSubstr("size=4096M"))));
  ranks = eight_on_two_sockets();
  for (RankReport& rank : ranks) rank.survey.open_files = 200;
  EXPECT_THAT(
      found(ranks, under(Launcher::srun)),
      ElementsAre(testing::AllOf(HasSubstr("may open 200 files"), HasSubstr("ulimit -n"), HasSubstr("--propagate=NOFILE"))));
}

TEST(Findings, OtherBuildsFoldersAndClocks) {
  std::vector<RankReport> ranks{rank_on("n1", {}), rank_on("n2", {})};
  ranks[1].hello.versions.torch = "2.12";
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)), ElementsAre(HasSubstr("rank 1 on n2 has LibTorch 2.12, rank 0 2")));
  ranks[1] = rank_on("n2", {});
  ranks[1].survey.folder_error = "there is no folder /home/me";
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)),
              ElementsAre(testing::AllOf(HasSubstr("n2: there is no folder"), HasSubstr("--ship bytes"))));
  ranks[1] = rank_on("n2", {});
  ranks[1].clock_skew_s = -90;
  ranks[1].clock_uncertainty_s = 0.1;
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)), ElementsAre(HasSubstr("the clock of n2 is 90.0 s behind rank 0's")));
  ranks[1].clock_uncertainty_s = 89.5;
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)), IsEmpty()) << "it may only have answered late";
}

TEST(Findings, InterfacesThatReachNoOtherNode) {
  std::vector<RankReport> ranks{rank_on("n1", {}), rank_on("n2", {})};
  ranks[1].survey.interfaces = {"docker0", "virbr0"};
  EXPECT_THAT(found(ranks, under(Launcher::mpirun)),
              ElementsAre(HasSubstr("n2 has no network interface that reaches other nodes")));
  ranks[1].survey.interfaces = {"ib0", "eth0"};
  for (const char* setting : {"eth", "=eth0", "^docker,lo", "foo,ib"}) {
    ranks[1].survey.nccl_interface = setting;
    EXPECT_THAT(found(ranks, under(Launcher::mpirun)), IsEmpty()) << setting;
  }
  for (const char* setting : {"=eth", "ens", "^ib,eth"}) {
    ranks[1].survey.nccl_interface = setting;
    EXPECT_THAT(found(ranks, under(Launcher::mpirun)), ElementsAre(HasSubstr("names no interface of n2 (ib0, eth0)"))) << setting;
  }
  EXPECT_THAT(found({ranks[1]}, under(Launcher::mpirun)), IsEmpty()) << "one node needs no network";
}

TEST(Findings, SlurmWithoutPmix) {
  Surroundings around = under(Launcher::mpirun);
  around.slurm.job = "17";
  around.mpi_plugins = "MPI plugin types are...\n\tnone\n\tpmi2\n";
  EXPECT_THAT(found({rank_on("n1", {})}, around),
              ElementsAre(testing::AllOf(HasSubstr("no PMIx plugin"), HasSubstr("mpirun -np"))));
}

} // namespace
} // namespace mgpu::agent::doctor
