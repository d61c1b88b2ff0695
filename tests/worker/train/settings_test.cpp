#include "worker/train/settings.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "mgpu/error.hpp"
#include "worker/batch/micro_batch.hpp"
#include "worker/train/loss_scale.hpp"

namespace mgpu::worker::train {
namespace {

Settings settings_of(std::uint32_t epochs, double lr) {
  Settings settings;
  settings.stages = {Stage{"", epochs, lr, {}, 0, 1, 1}};
  return settings;
}

TEST(Settings, PeriodsAreEpochsOrSteps) {
  EXPECT_EQ(parse_period("2e", "x").in_steps(10), 20u);
  EXPECT_EQ(parse_period("0.5e", "x").in_steps(10), 5u);
  EXPECT_EQ(parse_period("0.001e", "x").in_steps(10), 1u);
  EXPECT_EQ(parse_period("7", "x").in_steps(10), 7u);
  EXPECT_TRUE(parse_period("0", "x").never());
  EXPECT_THROW(parse_period("7.5", "x"), Error);
  EXPECT_THROW(parse_period("e", "x"), Error);
}

TEST(Plan, LastBatchOfAnEpochIsSmaller) {
  Settings settings = settings_of(3, 0.1);
  const Plan plan(settings, 100, 8, 4);
  EXPECT_EQ(plan.stages[0].global_batch, 32);
  EXPECT_EQ(plan.steps, 12u);
  EXPECT_EQ(plan.samples(3), 4u);
  EXPECT_EQ(plan.epoch_number(4), 2u);
}

TEST(Plan, KnowsWhenARankIsLeftASingleSample) {
  const Settings settings = settings_of(3, 0.1);
  EXPECT_EQ(Plan(settings, 33, 8, 2).step_with_single_sample(2), 2u) << "16, 16, then 1";
  EXPECT_EQ(Plan(settings, 34, 8, 2).step_with_single_sample(2), 2u) << "1 for each";
  EXPECT_EQ(Plan(settings, 35, 8, 2).step_with_single_sample(2), 2u) << "1 and 2";
  EXPECT_FALSE(Plan(settings, 36, 8, 2).step_with_single_sample(2));
  EXPECT_FALSE(Plan(settings, 32, 8, 2).step_with_single_sample(2));
  EXPECT_EQ(Plan(settings, 32, 1, 2).step_with_single_sample(2), 0u) << "--batch-size 1";
  Settings accumulated = settings_of(3, 0.1);
  accumulated.global_batch = 18;
  EXPECT_EQ(Plan(accumulated, 36, 8, 2).step_with_single_sample(2), 0u) << "9 a rank: 8 and 1";
}

TEST(Plan, GlobalBatchStaysWhenRanksChange) {
  Settings settings = settings_of(1, 0.1);
  settings.global_batch = 30;
  EXPECT_EQ(Plan(settings, 100, 8, 1).steps, Plan(settings, 100, 8, 7).steps);
}

TEST(Plan, LearningRateIsScaledByTheGlobalBatch) {
  Settings settings = settings_of(1, 0.1);
  settings.lr_scaling = LrScaling::linear;
  EXPECT_DOUBLE_EQ(Plan(settings, 1000, 8, 4).lr(0), 0.4);
  settings.lr_scaling = LrScaling::sqrt;
  EXPECT_DOUBLE_EQ(Plan(settings, 1000, 8, 4).lr(0), 0.2);
  settings.lr_reference_batch = 32;
  EXPECT_DOUBLE_EQ(Plan(settings, 1000, 8, 4).lr(0), 0.1);
}

TEST(Plan, CosineIsTorchsAfterTheWarmUp) {
  Settings settings = settings_of(1, 1.0);
  settings.lr_rule = LrRule::cosine;
  settings.lr_min = 0.1;
  settings.warmup.steps = 4;
  const Plan plan(settings, 24, 1, 1);
  EXPECT_DOUBLE_EQ(plan.lr(0), 0.25);
  EXPECT_DOUBLE_EQ(plan.lr(3), 1.0);
  EXPECT_DOUBLE_EQ(plan.lr(4), 1.0);
  EXPECT_NEAR(plan.lr(14), 0.55, 1e-12); // half of the 20 steps after the warm-up
}

TEST(Plan, StepRuleFallsByEpochs) {
  Settings settings = settings_of(5, 1.0);
  settings.lr_rule = LrRule::step;
  settings.lr_step_epochs = 2;
  const Plan plan(settings, 10, 5, 1); // 2 steps an epoch
  EXPECT_DOUBLE_EQ(plan.lr(3), 1.0);
  EXPECT_DOUBLE_EQ(plan.lr(4), 0.1);
  EXPECT_NEAR(plan.lr(8), 0.01, 1e-15);
}

TEST(Plan, StagesFollowEachOther) {
  Settings settings;
  settings.stages = {Stage{"head", 1, 0.1, {}, 0, 1, 1}, Stage{"all", 2, 0.01, {}, 5, 1, 0.5}};
  const Plan plan(settings, 40, 10, 1);
  EXPECT_EQ(plan.steps, 4u + 2 * 4u);
  EXPECT_EQ(plan.stage_of(3), 0u);
  EXPECT_EQ(plan.stage_of(4), 1u);
  EXPECT_EQ(plan.epoch_number(8), 3u);
  EXPECT_TRUE(plan.due({1, 0}, 3));
  EXPECT_FALSE(plan.due({0, 0}, 3));
  EXPECT_TRUE(plan.due({0, 100}, 3)) << "the end of a stage";
}

TEST(Stages, FreezeByNameAndFromTheBeginning) {
  const std::vector<std::string> names{"conv.weight", "conv.bias", "body.norm.weight", "body.norm.bias", "head.weight", "scale"};
  Stage stage;
  EXPECT_EQ(frozen(stage, names), std::vector<bool>(6, false));
  stage.train_last = 0.5; // of conv, body.norm, head, scale
  EXPECT_EQ(frozen(stage, names), (std::vector<bool>{true, true, true, true, false, false}));
  stage.freeze = {"head."};
  EXPECT_EQ(frozen(stage, names), (std::vector<bool>{true, true, true, true, true, false}));
  stage = {};
  stage.train_last = 0.001; // one layer at least
  EXPECT_EQ(frozen(stage, names), (std::vector<bool>{true, true, true, true, true, false}));
}

TEST(LossScale, HalvesAndGrowsBack) {
  LossScale scale(true);
  scale.note(false);
  EXPECT_EQ(scale.scale(), LossScale::first_scale / 2);
  for (std::uint32_t step = 0; step < LossScale::growth_interval; ++step) scale.note(true);
  EXPECT_EQ(scale.scale(), LossScale::first_scale);
  LossScale idle;
  idle.note(false);
  EXPECT_EQ(idle.scale(), 1);
}

TEST(MicroBatch, GrowsBackLaterEachTime) {
  MicroBatch micro(32);
  micro.halve(32);
  micro.agree(8);
  EXPECT_EQ(micro.rows(), 8);
  int steps = 0;
  for (; micro.rows() == 8; ++steps) micro.note_good_step();
  EXPECT_EQ(micro.rows(), 16);
  micro.halve(16);
  micro.agree(8); // growing was too early
  int again = 0;
  for (; micro.rows() == 8; ++again) micro.note_good_step();
  EXPECT_EQ(again, 2 * steps);
}

} // namespace
} // namespace mgpu::worker::train
