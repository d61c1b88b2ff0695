#include "agent/comm/binding.hpp"
#include "common/wire/control_messages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mgpu::agent::comm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

RankFacts rank_on(const std::string& node, int gpus, int cores = 8) {
  RankFacts facts;
  facts.join.node = facts.join.host = node;
  for (int core = 0; core < cores; ++core) facts.join.cores.push_back(core);
  for (int gpu = 0; gpu < gpus; ++gpu) {
    wire::Device device;
    device.index = gpu;
    device.name = "GPU";
    device.uuid = "GPU-" + std::string(8, static_cast<char>('a' + gpu));
    facts.hello.devices.push_back(device);
  }
  if (gpus == 0) facts.hello.device_note = "no driver";
  return facts;
}

std::vector<Binding> bind_all(const std::vector<RankFacts>& ranks, const BindingOptions& options = {}) {
  return bind_devices(ranks, options, find_locality(ranks));
}

std::string refusal(const std::vector<RankFacts>& ranks, const BindingOptions& options = {}) {
  try {
    bind_all(ranks, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Binding, OneGpuARankByNodeLocalRank) {
  const auto bindings = bind_all({rank_on("a", 2), rank_on("b", 2), rank_on("a", 2), rank_on("b", 2)});
  EXPECT_EQ(bindings[0].device, 0);
  EXPECT_EQ(bindings[2].device, 1);
  EXPECT_EQ(bindings[1].device, 0);
  EXPECT_EQ(bindings[3].device, 1);
  EXPECT_EQ(bindings[3].local_rank, 1);
  EXPECT_EQ(bindings[3].local_size, 2);
}

TEST(Binding, MoreRanksThanGpusIsAnErrorUnlessAllowed) {
  const std::vector<RankFacts> ranks{rank_on("a", 1), rank_on("a", 1)};
  EXPECT_THAT(refusal(ranks), HasSubstr("--oversubscribe"));
  BindingOptions options;
  options.oversubscribe = true;
  EXPECT_EQ(bind_all(ranks, options)[1].device, 0);
}

/// `srun --gpus-per-task=1`: each rank calls its GPU 0.
TEST(Binding, RanksThatSeeOneGpuEachOfTheirOwn) {
  std::vector<RankFacts> ranks{rank_on("a", 1), rank_on("a", 1), rank_on("a", 1)};
  ranks[1].hello.devices[0].uuid = "GPU-other";
  ranks[2].hello.devices[0].uuid = "GPU-third";
  for (const Binding& each : bind_all(ranks)) EXPECT_EQ(each.device, 0);
  ranks[2].hello.devices[0].uuid = "GPU-other";
  EXPECT_THAT(refusal(ranks), HasSubstr("3 ranks on host a but 2 GPUs to use"));
}

TEST(Binding, RanksWithLessChoiceChooseFirst) {
  std::vector<RankFacts> ranks{rank_on("a", 2), rank_on("a", 1)};
  const auto bindings = bind_all(ranks);
  EXPECT_EQ(bindings[0].device, 1);
  EXPECT_EQ(bindings[1].device, 0);
}

TEST(Binding, DevicesByIndexAndUuid) {
  BindingOptions options;
  options.devices = "2,0";
  EXPECT_EQ(bind_all({rank_on("a", 4)}, options)[0].device, 2);
  options.devices = "GPU-bbbb";
  EXPECT_EQ(bind_all({rank_on("a", 4)}, options)[0].device, 1);
}

TEST(Binding, GpusThatFailedLatelyAreLeftOut) {
  std::vector<RankFacts> ranks{rank_on("a", 3), rank_on("a", 3)};
  for (RankFacts& rank : ranks) rank.join.bad_devices = {{"GPU-bbbbbbbb", "fell off the bus"}};
  EXPECT_EQ(bind_all(ranks)[1].device, 2);
  BindingOptions named;
  named.devices = "1,0";
  EXPECT_EQ(bind_all(ranks, named)[0].device, 1) << "who names it gets it";
  ranks.push_back(ranks[0]);
  EXPECT_THAT(refusal(ranks), HasSubstr("2 GPUs"));
  RankFacts only = rank_on("b", 1);
  only.join.bad_devices = {{"GPU-aaaaaaaa", "fell off the bus"}};
  EXPECT_THAT(refusal({only}), HasSubstr("fell off the bus"));
}

/// Of GPU a others use 63 %, of b nothing, of c it is not known.
RankFacts shared_host() {
  RankFacts facts = rank_on("a", 3);
  facts.join.gpu_memory = {{"GPU-aaaaaaaa", 63, 100}, {"GPU-bbbbbbbb", 0, 100}};
  facts.join.gpu_memory_note = "NVML did not answer within 10 s";
  return facts;
}

TEST(Binding, GpusWhoseMemoryOthersUseAreLeftOut) {
  BindingOptions options;
  EXPECT_EQ(bind_all({shared_host()}, options)[0].device, 0) << "without the option";
  EXPECT_TRUE(describe_left_out({shared_host()}, options).empty());
  options.max_gpu_memory = 0.63;
  EXPECT_EQ(bind_all({shared_host()}, options)[0].device, 0);
  options.max_gpu_memory = 0.1;
  const std::vector<RankFacts> two{shared_host(), shared_host()};
  EXPECT_EQ(bind_all(two, options)[0].device, 1);
  EXPECT_EQ(bind_all(two, options)[1].device, 2) << "what is not known is no reason";
  EXPECT_THAT(describe_left_out(two, options),
              testing::ElementsAre(
                  "other processes use 63% of the memory of GPU 0 (GPU-aaaaaaaa) on host a, --max-gpu-memory allows 10%; "
                  "it is left out",
                  "--max-gpu-memory: what others use of GPU 2 (GPU-cccccccc) on host a is not known: NVML did not "
                  "answer within 10 s"));
  EXPECT_THAT(
      refusal({shared_host(), shared_host(), shared_host()}, options),
      AllOf(HasSubstr("3 ranks on host a but 2 GPUs"), HasSubstr("left out: GPU-aaaaaaaa (others use 63% of its memory)")));
}

TEST(Binding, WhoNamesAGpuThatOthersUseIsToldWhatToType) {
  BindingOptions options;
  options.max_gpu_memory = 0.1;
  options.devices = "0";
  EXPECT_EQ(
      refusal({shared_host()}, options),
      "--devices 0: other processes use 63% of the memory of GPU 0 (GPU-aaaaaaaa) on host a, --max-gpu-memory allows 10%; type "
      "--devices 1, or --max-gpu-memory 63%");
  options.devices = "0,1,2";
  EXPECT_THAT(refusal({shared_host()}, options), HasSubstr("wait for them, or type --max-gpu-memory 63%"));
  options.devices = "1";
  EXPECT_EQ(bind_all({shared_host()}, options)[0].device, 1);
  options.devices = "auto";
  RankFacts full = rank_on("b", 1);
  full.join.gpu_memory = {{"GPU-aaaaaaaa", 999, 1000}};
  EXPECT_THAT(refusal({full}, options),
              AllOf(HasSubstr("other processes use 100%"), HasSubstr("wait for them, or type --max-gpu-memory 100%")));
}

TEST(Binding, UnknownDevicesAreNamed) {
  BindingOptions options;
  options.devices = "9";
  EXPECT_THAT(refusal({rank_on("a", 2)}, options), HasSubstr("host a has no device 9 (2 GPUs)"));
  EXPECT_THAT(refusal({rank_on("a", 0)}, options), HasSubstr("no GPU: no driver"));
  options.devices = "0,0";
  EXPECT_THAT(refusal({rank_on("a", 2)}, options), HasSubstr("twice"));
  options.devices = "";
  EXPECT_THAT(refusal({rank_on("a", 2)}, options), HasSubstr("names no device"));
}

TEST(Binding, CpuWhenThereIsNoGpuOrWhenAsked) {
  EXPECT_EQ(bind_all({rank_on("a", 0)})[0].device, -1);
  BindingOptions options;
  options.devices = "cpu";
  EXPECT_EQ(bind_all({rank_on("a", 2)}, options)[0].device, -1);
}

TEST(Binding, GpuAndCpuHostsAreNotMixed) {
  EXPECT_THAT(refusal({rank_on("a", 1), rank_on("b", 0)}), HasSubstr("host b has no GPU"));
}

TEST(Binding, RanksShareTheCoresOfTheirNode) {
  const auto bindings = bind_all({rank_on("a", 0, 8), rank_on("a", 0, 8), rank_on("a", 0, 8), rank_on("b", 0, 8)});
  EXPECT_EQ(bindings[0].cores, (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(bindings[1].cores, (std::vector<std::int32_t>{2, 3, 4}));
  EXPECT_EQ(bindings[2].cores, (std::vector<std::int32_t>{5, 6, 7}));
  EXPECT_EQ(bindings[0].threads, 2);
  EXPECT_EQ(bindings[3].threads, 8);
}

TEST(Binding, MoreRanksThanCoresAreNotShutIn) {
  const auto bindings = bind_all(std::vector<RankFacts>(8, rank_on("a", 0, 2)));
  EXPECT_EQ(bindings[5].cores.size(), 2U);
  EXPECT_EQ(bindings[5].threads, 1);
}

/// `srun --cpus-per-task`: the launcher has divided them already.
TEST(Binding, MasksOfOnesOwnAreLeftAlone) {
  std::vector<RankFacts> ranks{rank_on("a", 1), rank_on("a", 1)};
  ranks[0].join.cores = {0, 1, 2, 3};
  ranks[1].join.cores = {4, 5, 6, 7};
  ranks[1].hello.devices[0].uuid = "GPU-other";
  const auto bindings = bind_all(ranks);
  EXPECT_EQ(bindings[1].cores, (std::vector<std::int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(bindings[0].threads, 4);
  EXPECT_EQ(bindings[0].loaders, 3);
}

TEST(Binding, CoresNearTheGpuComeFirst) {
  std::vector<RankFacts> ranks{rank_on("a", 2, 8), rank_on("a", 2, 8)};
  for (RankFacts& each : ranks) {
    each.hello.devices[0].cores = {4, 5, 6, 7};
    each.hello.devices[1].cores = {0, 1, 2, 3};
  }
  auto bindings = bind_all(ranks);
  EXPECT_EQ(bindings[0].cores, (std::vector<std::int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(bindings[1].cores, (std::vector<std::int32_t>{0, 1, 2, 3}));
  for (RankFacts& each : ranks) each.hello.devices[1].cores = {4, 5, 6, 7};
  bindings = bind_all(ranks);
  EXPECT_EQ(bindings[0].cores.size() + bindings[1].cores.size(), 8u) << "those of the other socket are better than none";
  EXPECT_EQ(bindings[1].cores, (std::vector<std::int32_t>{0, 1, 2, 3}));
}

TEST(Binding, HyperthreadsOfACoreStayTogether) {
  std::vector<RankFacts> ranks(2, rank_on("a", 0));
  for (RankFacts& each : ranks) each.join.cores = {0, 4, 1, 5, 2, 6, 3, 7}; // as Join gives them
  const auto bindings = bind_all(ranks);
  EXPECT_EQ(bindings[0].cores, (std::vector<std::int32_t>{0, 1, 4, 5}));
  EXPECT_EQ(bindings[1].cores, (std::vector<std::int32_t>{2, 3, 6, 7}));
}

TEST(Locality, TakesTheLaunchersOrderWithinANode) {
  std::vector<RankFacts> ranks{rank_on("a", 0), rank_on("b", 0), rank_on("a", 0)};
  ranks[0].join.launcher_local_rank = 1;
  ranks[2].join.launcher_local_rank = 0;
  const Locality locality = find_locality(ranks);
  EXPECT_EQ(locality.local_rank, (std::vector<int>{1, 0, 0}));
  EXPECT_EQ(locality.local_size, (std::vector<int>{2, 1, 2}));
  EXPECT_TRUE(locality.warnings.empty());
}

TEST(Locality, SaysWhereTheLauncherOrTheSharedMemorySplitDisagrees) {
  std::vector<RankFacts> ranks{rank_on("a", 0), rank_on("a", 0)};
  EXPECT_TRUE(find_locality(ranks).warnings.empty());
  ranks[1].join.shared_size = 1; // seen under srun --mpi=pmix: groups of one
  ranks[1].join.launcher_local_rank = 0;
  const Locality locality = find_locality(ranks);
  EXPECT_EQ(locality.local_rank[1], 1);
  EXPECT_EQ(locality.warnings.size(), 2U) << "rank 1's launcher number and its shared-memory split";
}

} // namespace
} // namespace mgpu::agent::comm
