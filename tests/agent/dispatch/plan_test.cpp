#include "agent/dispatch/plan.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agent/manifest/shard.hpp"

namespace mgpu::agent::dispatch {
namespace {

manifest::Manifest table(const std::string& text) {
  const auto path = std::filesystem::temp_directory_path() / ("mgpu_plan_test_" + std::to_string(getpid()) + ".csv");
  std::ofstream(path) << text;
  manifest::Manifest manifest = manifest::Manifest::read(path.string());
  std::filesystem::remove(path);
  return manifest;
}

TEST(Plan, CutsBatchesFromTheManifest) {
  const Plan plan(10, 4, Schedule::dynamic, 3);
  EXPECT_EQ(plan.batches(), 3U);
  EXPECT_EQ(plan.span(0).first, 0U);
  EXPECT_EQ(plan.span(2).first, 8U);
  EXPECT_EQ(plan.span(2).count, 2U);
}

TEST(Plan, BatchesOfShardsAreThoseOfTheWhole) {
  for (const std::uint64_t items : {3U, 8U, 50U, 51U})
    for (const std::uint32_t count : {1U, 3U, 20U}) {
      const Plan whole(items, 4, Schedule::dynamic, 2);
      std::uint64_t batch = 0;
      for (std::uint32_t index = 1; index <= count; ++index) {
        const manifest::ItemSpan span = manifest::items_of({index, count}, items, 4);
        const Plan part(span.count, 4, Schedule::dynamic, 2);
        for (std::uint64_t own = 0; own < part.batches(); ++own, ++batch) {
          EXPECT_EQ(span.first + part.span(own).first, whole.span(batch).first);
          EXPECT_EQ(part.span(own).count, whole.span(batch).count);
        }
      }
      EXPECT_EQ(batch, whole.batches());
    }
}

TEST(Plan, WithoutItemsThereIsNothingToDo) {
  for (const Schedule schedule : {Schedule::dynamic, Schedule::block, Schedule::cyclic}) {
    const Plan plan(0, 4, schedule, 2);
    EXPECT_EQ(plan.batches(), 0U);
    for (const Assignment& assignment : expected_assignment(plan)) EXPECT_EQ(assignment.items, 0U);
  }
}

class EverySchedule : public testing::TestWithParam<std::tuple<Schedule, int>> {};

TEST_P(EverySchedule, NamesEveryBatchOnce) {
  const auto [schedule, ranks] = GetParam();
  for (const std::uint64_t items : {1U, 7U, 64U, 1001U}) {
    const Plan plan(items, 8, schedule, ranks);
    std::set<std::uint64_t> seen;
    for (int queue = 0; queue < plan.queues(); ++queue)
      for (std::uint64_t position = 0; position < plan.queue_length(queue); ++position)
        EXPECT_TRUE(seen.insert(plan.at(queue, position)).second);
    EXPECT_EQ(seen.size(), plan.batches());
    std::uint64_t assigned = 0;
    for (const Assignment& assignment : expected_assignment(plan)) assigned += assignment.items;
    EXPECT_EQ(assigned, items);
  }
}
INSTANTIATE_TEST_SUITE_P(Plan, EverySchedule,
                         testing::Combine(testing::Values(Schedule::dynamic, Schedule::block, Schedule::cyclic),
                                          testing::Values(1, 2, 3, 8)));

TEST(Plan, BlockIsContiguousAndCyclicIsModulo) {
  const Plan block(16, 1, Schedule::block, 4);
  EXPECT_EQ(block.at(1, 0), 4U);
  EXPECT_EQ(block.at(1, 3), 7U);
  const Plan cyclic(16, 1, Schedule::cyclic, 4);
  EXPECT_EQ(cyclic.at(1, 0), 1U);
  EXPECT_EQ(cyclic.at(1, 1), 5U);
}

TEST(Plan, LongestFirstAndPriorityBeforeIt) {
  const Plan longest(table("path,duration\na,1\nb,9\nc,5\n"), 1, Schedule::dynamic, 2);
  EXPECT_EQ(longest.at(0, 0), 1U);
  EXPECT_EQ(longest.at(0, 1), 2U);
  EXPECT_EQ(longest.at(0, 2), 0U);
  const Plan urgent(table("path,duration,priority\na,1,7\nb,9,0\nc,5,7\n"), 1, Schedule::dynamic, 2);
  EXPECT_EQ(urgent.at(0, 0), 2U);
  EXPECT_EQ(urgent.at(0, 1), 0U);
  EXPECT_EQ(urgent.at(0, 2), 1U);
}

TEST(Plan, CostsDoNotMoveBatchesBetweenStaticQueues) {
  const manifest::Manifest items = table("path,duration\na,1\nb,9\nc,5\nd,7\n");
  const Plan cyclic(items, 1, Schedule::cyclic, 2);
  EXPECT_EQ(cyclic.at(0, 0), 2U); // of a and c, c is longer
  EXPECT_EQ(cyclic.at(0, 1), 0U);
  EXPECT_EQ(cyclic.at(1, 0), 1U);
  EXPECT_EQ(cyclic.at(1, 1), 3U);
  const Plan block(items, 1, Schedule::block, 2);
  EXPECT_EQ(block.at(1, 0), 3U);
}

TEST(Plan, RefusesAnUnknownSchedule) {
  EXPECT_THROW(parse_schedule("greedy"), Error);
}

} // namespace
} // namespace mgpu::agent::dispatch
