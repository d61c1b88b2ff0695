#include "worker/train/step_reporter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;

struct Sent {
  double now_s = 100;
  std::vector<wire::Steps> messages;
  StepReporter reporter{[this](const wire::Steps& steps) { messages.push_back(steps); }, [this] { return now_s; }};

  void add(std::uint64_t number) {
    wire::Step step;
    step.step = number;
    reporter.add(step);
  }
  /// Steps of each message.
  std::vector<std::size_t> sizes() const {
    std::vector<std::size_t> sizes;
    for (const wire::Steps& each : messages) sizes.push_back(each.steps.size());
    return sizes;
  }
};

TEST(StepReporter, SaysAtOnceHowManyStepsThereWillBe) {
  Sent sent;
  sent.reporter.begin(7);
  ASSERT_THAT(sent.sizes(), ElementsAre(0u));
  EXPECT_EQ(sent.messages[0].total, 7u);
}

TEST(StepReporter, SendsShortStepsTogether) {
  Sent sent;
  sent.reporter.begin(9);
  sent.add(1);
  sent.now_s += StepReporter::most_delay_s / 2;
  sent.add(2);
  EXPECT_THAT(sent.sizes(), ElementsAre(0u));
  sent.now_s += StepReporter::most_delay_s;
  sent.add(3);
  ASSERT_THAT(sent.sizes(), ElementsAre(0u, 3u));
  EXPECT_EQ(sent.messages[1].total, 9u);
  EXPECT_EQ(sent.messages[1].steps[2].step, 3u);
  sent.add(4); // the delay counts from the last message
  EXPECT_THAT(sent.sizes(), ElementsAre(0u, 3u));
}

TEST(StepReporter, SendsAFullMessageWithoutDelay) {
  Sent sent;
  sent.reporter.begin(1000);
  for (std::uint64_t step = 1; step <= StepReporter::most_unsent; ++step) sent.add(step);
  EXPECT_THAT(sent.sizes(), ElementsAre(0u, StepReporter::most_unsent));
}

TEST(StepReporter, SendsTheRestOnceWhenAsked) {
  Sent sent;
  sent.reporter.begin(2);
  sent.add(1);
  sent.reporter.flush();
  sent.reporter.flush();
  EXPECT_THAT(sent.sizes(), ElementsAre(0u, 1u));
}

TEST(StepRecord, TellsOfTheStepThatWasDone) {
  Settings settings;
  settings.stages = {Stage{"", 2, 0.5, {}, 0, 1, 1}};
  const Plan plan(settings, 8, 4, 1); // 2 steps an epoch
  Progress progress(false, 10);
  progress.step = 3;
  progress.micro_batch = MicroBatch(4);
  StepSums sums;
  sums.rows = 3;
  sums.skipped = 1;
  StepLosses losses;
  losses.sum = 6;
  const std::vector<double> facts = facts_of(sums, losses, false, 0, 1);
  collective::StepResult result;
  result.updated = true;
  result.grad_norm = 1.5;
  const wire::Step step = step_record(plan, progress, StepFacts(facts), result, 2, 0.25);
  EXPECT_EQ(step.step, 3u);
  EXPECT_EQ(step.epoch, 2u);
  EXPECT_EQ(step.samples, 3u);
  EXPECT_EQ(step.skipped, 1u);
  EXPECT_EQ(step.micro_batch, 4u);
  EXPECT_EQ(step.accumulation, 2u);
  EXPECT_EQ(step.updated, 1);
  EXPECT_EQ(step.loss, 2);
  EXPECT_EQ(step.lr, 0.5);
  EXPECT_EQ(step.grad_norm, 1.5);
  EXPECT_EQ(step.loss_scale, 1);
  EXPECT_EQ(step.seconds, 0.25);
}

} // namespace
} // namespace mgpu::worker::train
