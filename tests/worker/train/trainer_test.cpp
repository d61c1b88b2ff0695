#include "worker/train/trainer.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/wire/training_messages.hpp"
#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::HasSubstr;

TEST(Trainer, CurveDoesNotDependOnTheNumberOfRanks) {
  Rig rig;
  rig.settings.global_batch = 16;
  const Trained one = rig.run(1);
  ASSERT_EQ(one.errors[0], "");
  ASSERT_EQ(one.steps.size(), 8u); // 50 items in steps of 16: 4 an epoch
  EXPECT_EQ(one.steps.back().samples, 2u);
  EXPECT_LT(one.steps.back().loss, one.steps.front().loss);
  for (const int ranks : {2, 4}) {
    const Trained many = rig.run(ranks);
    EXPECT_LT(difference(many.steps, one.steps), 1e-5) << ranks << " ranks";
    ASSERT_EQ(many.metrics.size(), one.metrics.size());
    EXPECT_EQ(many.metrics.back().values.front().value, one.metrics.back().values.front().value);
  }
}

TEST(Trainer, AccumulationIsALargerBatch) {
  Rig rig;
  rig.batch_size = 16;
  const Trained whole = rig.run(2);
  rig.batch_size = 4;
  rig.settings.accumulate = 4;
  const Trained parts = rig.run(2);
  EXPECT_EQ(parts.steps.front().accumulation, 4u);
  EXPECT_LT(difference(parts.steps, whole.steps), 1e-5);
}

TEST(Trainer, OutOfMemoryOnOneRankChangesNoSample) {
  Rig rig;
  rig.settings.global_batch = 16;
  const Trained calm = rig.run(2);
  rig.settings.fault = "oom:rank=1,step=3";
  const Trained tight = rig.run(2);
  ASSERT_EQ(tight.errors[1], "");
  EXPECT_LT(difference(tight.steps, calm.steps), 1e-5);
  EXPECT_EQ(tight.steps[1].micro_batch, 8u);
  EXPECT_EQ(tight.steps[2].micro_batch, 4u); // rank 0, which had no trouble, follows
}

TEST(Trainer, ResumesBitForBitOnTheSameRanks) {
  const Folder folder;
  Rig rig;
  rig.settings.checkpoints = folder.path;
  rig.settings.checkpoint_every.steps = 3;
  for (const int ranks : {1, 2}) {
    rig.checkpoint = "";
    const Trained whole = rig.run(ranks);
    rig.checkpoint = folder.path / step_folder(3);
    const Trained rest = rig.run(ranks);
    ASSERT_EQ(rest.errors[0], "");
    EXPECT_EQ(rest.steps.front().step, 4u);
    for (std::size_t at = 0; at < rest.steps.size(); ++at) EXPECT_EQ(rest.steps[at].loss, whole.steps[at + 3].loss);
    EXPECT_TRUE(same_bits(rest.parameters, whole.parameters)) << ranks << " ranks";
  }
}

TEST(Trainer, ResumesOnOtherRanks) {
  const Folder folder;
  Rig rig;
  rig.settings.global_batch = 16;
  rig.settings.checkpoints = folder.path;
  rig.settings.checkpoint_every.steps = 3;
  const Trained whole = rig.run(2);
  ASSERT_EQ(whole.saved.size() % 2, 0u);
  rig.checkpoint = folder.path / step_folder(3);
  rig.settings.checkpoint_every = {};
  for (const int ranks : {1, 4}) {
    const Trained rest = rig.run(ranks);
    ASSERT_EQ(rest.errors[0], "");
    const std::vector<wire::Step> tail(whole.steps.begin() + 3, whole.steps.end());
    EXPECT_LT(difference(rest.steps, tail), 1e-5) << ranks << " ranks";
  }
}

TEST(Trainer, StopsAfterTheStepWithACheckpoint) {
  const Folder folder;
  Rig rig;
  rig.settings.stages[0].epochs = 2000;
  rig.settings.checkpoints = folder.path;
  rig.stop_after = 1;
  const Trained stopped = rig.run(2);
  ASSERT_EQ(stopped.errors[0] + stopped.errors[1], "");
  ASSERT_EQ(stopped.saved.size(), 2u);
  EXPECT_EQ(stopped.saved[0].step, stopped.steps.back().step);
  EXPECT_EQ(stopped.saved[0].error, "");
}

TEST(Trainer, AnUnreadableSampleIsLeftOut) {
  Rig rig;
  rig.settings.shuffle = false;
  rig.settings.global_batch = 16;
  rig.bad = {3, 20};
  const Trained one = rig.run(1);
  const Trained two = rig.run(2);
  EXPECT_EQ(one.steps[0].samples, 15u);
  EXPECT_EQ(one.steps[0].skipped, 1u);
  EXPECT_EQ(one.skipped.size(), 2u); // told once each, not every epoch
  EXPECT_LT(difference(two.steps, one.steps), 1e-5);
}

TEST(Trainer, FrozenParametersStayAsTheyAre) {
  Rig rig;
  rig.settings.stages = {Stage{"head", 1, 0.1, {"first"}, 0, 1, 1}, Stage{"all", 1, 0.1, {}, 0, 1, 0.5}};
  const SmallNetwork fresh;
  rig.settings.max_steps = 4;
  const Trained head = rig.run(2);
  ASSERT_EQ(head.errors[0], "");
  EXPECT_TRUE(torch::equal(head.parameters[0], fresh.first.weight));
  EXPECT_FALSE(torch::equal(head.parameters[2], fresh.second.weight));
  rig.settings.max_steps = 0;
  const Trained both = rig.run(2);
  EXPECT_EQ(both.steps.back().step, 4u + 2u); // 50 items and 25 items in steps of 16
  EXPECT_FALSE(torch::equal(both.parameters[0], fresh.first.weight));
}

TEST(Trainer, WhatIsFrozenInTheFileStaysFrozenInEveryStage) {
  Rig rig;
  rig.frozen_in_file = true;
  rig.settings.stages = {Stage{"one", 1, 0.1, {}, 0, 1, 1}, Stage{"two", 1, 0.1, {}, 0, 1, 1}};
  const Trained trained = rig.run(2);
  ASSERT_EQ(trained.errors[0], "");
  const SmallNetwork fresh;
  EXPECT_TRUE(torch::equal(trained.parameters[0], fresh.first.weight));
  EXPECT_FALSE(torch::equal(trained.parameters[2], fresh.second.weight));
}

TEST(Trainer, AFrozenNameThatNothingHasIsRefused) {
  Rig rig;
  rig.settings.stages = {Stage{"head", 1, 0.1, {"first", "backbone"}, 0, 1, 1}};
  EXPECT_THAT(rig.run(1).errors[0],
              testing::AllOf(HasSubstr("stage head"), HasSubstr("\"backbone\""), HasSubstr("first.weight")));
}

TEST(Trainer, NanIsNeverTheBest) {
  Rig rig;
  rig.nan_validation = true;
  rig.settings.validate_every = parse_period("1e", "x");
  const Trained trained = rig.run(2);
  ASSERT_EQ(trained.errors[0], "");
  ASSERT_EQ(trained.metrics.size(), 2u);
  EXPECT_EQ(trained.metrics[0].best, 0);
  EXPECT_EQ(trained.metrics[1].best, 1);
}

TEST(Trainer, NotFiniteLossChangesNothingAndEndsTheRunInTheEnd) {
  Rig rig;
  rig.settings.fault = "nan:rank=1,step=2";
  const Trained once = rig.run(2);
  EXPECT_EQ(once.errors[0], "");
  EXPECT_EQ(once.steps[1].updated, 0);
  EXPECT_TRUE(std::isfinite(once.steps[2].loss));
  rig.settings.fault = "nan:rank=1";
  rig.settings.max_nonfinite = 3;
  const Trained ended = rig.run(2);
  // Whoever is first says it, with the same words; the other may hear of the end before it has looked itself.
  EXPECT_THAT(ended.errors,
              testing::Contains(HasSubstr("not finite in 3 steps in a row; at step 3 on rank 1 (the batch of item ")));
}

TEST(Trainer, AParameterWithoutGradientIsNamed) {
  Rig rig;
  rig.use_unused = false;
  const Trained trained = rig.run(1);
  EXPECT_THAT(trained.errors[0], HasSubstr("parameter unused.weight took no part in the loss of step 1"));
  rig.settings.find_unused = true;
  EXPECT_EQ(rig.run(2).errors[0], "");
}

TEST(Trainer, ClippingKeepsRanksEqual) {
  Rig rig;
  rig.settings.global_batch = 16;
  rig.settings.clip_norm = 0.1;
  rig.settings.hyper.kind = collective::OptimizerKind::adamw;
  const Trained one = rig.run(1);
  EXPECT_GT(one.steps[0].grad_norm, 0.1);
  EXPECT_LT(difference(rig.run(4).steps, one.steps), 1e-4);
}

} // namespace
} // namespace mgpu::worker::train
