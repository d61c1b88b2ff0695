#include "worker/train/unit_sequence.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;

struct Epochs {
  std::vector<Item> items;
  Plan plan;

  /// `batch`: a rank's; each stage has two epochs of `count` items in steps of 16.
  Epochs(std::uint64_t count, std::int64_t batch, int ranks, std::size_t stages = 1)
      : plan(settings(stages), count, batch, ranks) {
    for (std::uint64_t at = 0; at < count; ++at) items.push_back({at, "path", false, "", {}});
  }
  static Settings settings(std::size_t stages) {
    Settings settings;
    settings.stages.assign(stages, Stage{"", 2, 0.1, {}, 0, 1, 1});
    settings.global_batch = 16;
    return settings;
  }
  UnitSequence sequence(int rank, int ranks, std::size_t stage = 0, std::uint64_t first_step = 0) const {
    return UnitSequence(plan, stage, Sampler(items.size(), 7, true), items, rank, ranks, first_step);
  }
};

std::vector<wire::BatchRange> all(UnitSequence sequence) {
  std::vector<wire::BatchRange> units;
  wire::BatchRange range;
  while (sequence.next(range)) units.push_back(std::exchange(range, {}));
  return units;
}

TEST(UnitSequence, EveryItemOccursOnceAnEpochOnSomeRank) {
  constexpr int ranks = 3;
  const Epochs epochs(50, 4, ranks);
  std::vector<std::vector<std::uint64_t>> seen(2);
  for (int rank = 0; rank < ranks; ++rank) {
    UnitSequence sequence = epochs.sequence(rank, ranks);
    std::vector<std::uint64_t> units(epochs.plan.steps, 0);
    for (const wire::BatchRange& unit : all(epochs.sequence(rank, ranks))) {
      ++units[unit.batch];
      EXPECT_LE(unit.items.size(), 4u);
      for (const Item& item : unit.items) seen[unit.epoch].push_back(item.index);
    }
    for (std::uint64_t step = 0; step < epochs.plan.steps; ++step) EXPECT_EQ(units[step], sequence.units(step)) << step;
  }
  std::vector<std::uint64_t> expected(50);
  std::iota(expected.begin(), expected.end(), 0);
  for (std::vector<std::uint64_t>& epoch : seen) {
    std::sort(epoch.begin(), epoch.end());
    EXPECT_EQ(epoch, expected);
  }
}

TEST(UnitSequence, ContinuesWhereACheckpointWas) {
  const Epochs epochs(50, 8, 2);
  const std::vector<wire::BatchRange> whole = all(epochs.sequence(1, 2)), rest = all(epochs.sequence(1, 2, 0, 3));
  ASSERT_LT(rest.size(), whole.size());
  const std::size_t before = whole.size() - rest.size();
  EXPECT_EQ(rest.front().batch, 3u);
  for (std::size_t at = 0; at < rest.size(); ++at) {
    EXPECT_EQ(rest[at].batch, whole[before + at].batch);
    ASSERT_EQ(rest[at].items.size(), whole[before + at].items.size());
    for (std::size_t row = 0; row < rest[at].items.size(); ++row)
      EXPECT_EQ(rest[at].items[row].index, whole[before + at].items[row].index);
  }
}

TEST(UnitSequence, StaysWithinItsStage) {
  const Epochs epochs(32, 16, 1, 2);
  std::vector<std::uint64_t> steps, epoch_numbers;
  for (const wire::BatchRange& unit : all(epochs.sequence(0, 1, 1))) {
    steps.push_back(unit.batch);
    epoch_numbers.push_back(unit.epoch);
  }
  EXPECT_THAT(steps, ElementsAre(4u, 5u, 6u, 7u));
  EXPECT_THAT(epoch_numbers, ElementsAre(2u, 2u, 3u, 3u));
}

TEST(UnitSequence, ARankWithoutSamplesHasNoUnit) {
  const Epochs epochs(17, 4, 4); // the second step of an epoch has a single sample, the last rank's
  EXPECT_EQ(epochs.sequence(0, 4).units(1), 0u);
  EXPECT_EQ(epochs.sequence(3, 4).units(1), 1u);
  EXPECT_EQ(all(epochs.sequence(0, 4)).size(), 2u);
}

} // namespace
} // namespace mgpu::worker::train
