// Whole trainings with --cuda-graph: the CPU's recorder runs the passes on their fixed places.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

/// Trains with and without --cuda-graph and expects the same bits.
Trained expect_equal_curves(Rig rig, int ranks) {
  const Trained plain = rig.run(ranks);
  rig.settings.cuda_graph = true;
  const Trained recorded = rig.run(ranks);
  EXPECT_THAT(plain.errors, Each(""));
  EXPECT_THAT(recorded.errors, Each(""));
  EXPECT_EQ(plain.recorded_passes, 0);
  EXPECT_GT(recorded.recorded_passes, StepGraphs::passes_before * ranks);
  EXPECT_EQ(recorded.steps.size(), plain.steps.size());
  for (std::size_t at = 0; at < std::min(recorded.steps.size(), plain.steps.size()); ++at)
    EXPECT_EQ(recorded.steps[at].loss, plain.steps[at].loss) << ranks << " ranks, step " << at + 1;
  EXPECT_TRUE(same_bits(recorded.parameters, plain.parameters)) << ranks << " ranks";
  return recorded;
}

TEST(RecordedTraining, HasTheSameCurve) {
  Rig rig;
  rig.settings.global_batch = 16; // 50 items: the last batch of an epoch is smaller
  rig.settings.stages[0].epochs = 3;
  for (const int ranks : {1, 2}) expect_equal_curves(rig, ranks);
}

TEST(RecordedTraining, AccumulatesInItsFixedPlaces) {
  Rig rig;
  rig.batch_size = 4;
  rig.settings.accumulate = 3;
  EXPECT_EQ(expect_equal_curves(rig, 2).steps.front().accumulation, 3u);
}

TEST(RecordedTraining, DrawsTheSameNumbers) {
  Rig rig;
  rig.dropout = 0.5;
  const Trained dropped = expect_equal_curves(rig, 1);
  rig.dropout = 0;
  EXPECT_NE(dropped.steps.back().loss, rig.run(1).steps.back().loss);
}

TEST(RecordedTraining, GoesOnWithHalvesWhenMemoryRunsOut) {
  Rig rig;
  rig.settings.global_batch = 16;
  rig.settings.stages[0].epochs = 4;
  rig.settings.fault = "oom:rank=1,step=6"; // a replay
  EXPECT_EQ(expect_equal_curves(rig, 2).steps[5].micro_batch, 4u);
  rig.settings.fault = "oom:above=5"; // from the beginning
  expect_equal_curves(rig, 1);
}

TEST(RecordedTraining, LeavesOutWhatCannotBeRead) {
  Rig rig;
  rig.settings.shuffle = false;
  rig.bad = {3, 20};
  rig.settings.stages[0].epochs = 3;
  EXPECT_EQ(expect_equal_curves(rig, 1).steps[0].skipped, 1u);
}

TEST(RecordedTraining, BeginsAnewInEveryStage) {
  Rig rig;
  rig.settings.stages = {Stage{"head", 1, 0.1, {"first"}, 0, 1, 1}, Stage{"all", 1, 0.1, {}, 0, 1, 1}};
  expect_equal_curves(rig, 1);
}

TEST(RecordedTraining, ResumesBitForBit) {
  const Folder folder;
  Rig rig;
  rig.settings.cuda_graph = true;
  rig.settings.checkpoints = folder.path;
  rig.settings.checkpoint_every.steps = 4;
  const Trained whole = rig.run(1);
  rig.checkpoint = folder.path / step_folder(4);
  const Trained rest = rig.run(1);
  ASSERT_THAT(rest.errors, Each(""));
  EXPECT_TRUE(same_bits(rest.parameters, whole.parameters));
}

TEST(RecordedTraining, NamesAParameterWithoutGradient) {
  Rig rig;
  rig.settings.cuda_graph = true;
  rig.use_unused = false;
  EXPECT_THAT(rig.run(1).errors[0], HasSubstr("parameter unused.weight took no part in the loss of step 1"));
}

} // namespace
} // namespace mgpu::worker::train
