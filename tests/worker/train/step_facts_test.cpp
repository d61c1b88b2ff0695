// What the ranks know of a step, what follows from it, and when losses that are not finite end a training.
#include "worker/train/step_facts.hpp"
#include "worker/device/torch.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "worker/train/non_finite_steps.hpp"

namespace mgpu::worker::train {
namespace {

StepSums rows(std::int64_t done, std::int64_t skipped = 0, std::int64_t out_of_memory = 0) {
  StepSums sums;
  sums.rows = done;
  sums.skipped = skipped;
  sums.out_of_memory = out_of_memory;
  return sums;
}

StepLosses spoilt(std::uint64_t row) {
  StepLosses losses;
  losses.not_finite_row = row;
  return losses;
}

/// As an exchange sums them.
std::vector<double> summed(const std::vector<std::vector<double>>& ranks) {
  std::vector<double> sums(ranks.front().size(), 0.0);
  for (const std::vector<double>& facts : ranks)
    for (std::size_t at = 0; at < sums.size(); ++at) sums[at] += facts[at];
  return sums;
}

TEST(StepFacts, AreThoseOfAllRanks) {
  StepLosses one, two;
  one.sum = 3;
  two.sum = 4;
  const std::vector<double> sums = summed({facts_of(rows(8, 1), one, false, 0, 2), facts_of(rows(6, 2, 1), two, true, 1, 2)});
  const StepFacts facts(sums);
  EXPECT_EQ(facts.loss_sum(), 7);
  EXPECT_EQ(facts.rows(), 14);
  EXPECT_EQ(facts.skipped(), 3);
  EXPECT_TRUE(facts.finite());
  EXPECT_TRUE(facts.usable());
  EXPECT_TRUE(facts.out_of_memory());
  EXPECT_TRUE(facts.stop());
  EXPECT_EQ(facts.where_not_finite(), "");
}

TEST(StepFacts, NameTheRanksWhoseLossIsNotFinite) {
  const std::vector<double> sums = summed({facts_of(rows(8), spoilt(0), false, 0, 3), facts_of(rows(8), {}, false, 1, 3),
                                           facts_of(rows(8), spoilt(41), false, 2, 3)});
  const StepFacts facts(sums);
  EXPECT_FALSE(facts.finite());
  EXPECT_FALSE(facts.usable());
  EXPECT_FALSE(facts.stop());
  EXPECT_EQ(facts.where_not_finite(), "rank 0 (the batch of item 0), rank 2 (the batch of item 41)");
}

TEST(StepFacts, SkippedSamplesAndTheLossScaleAreTakenOutOfTheGradients) {
  collective::Hyper hyper;
  hyper.lr = 0.25;
  const std::vector<double> sums = facts_of(rows(12, 4), {}, false, 0, 1);
  const collective::Decision decision = decide(StepFacts(sums), 16, 8, hyper);
  EXPECT_TRUE(decision.update);
  EXPECT_EQ(decision.gradient_scale, 16.0 / 12 / 8);
  EXPECT_EQ(decision.hyper.lr, 0.25);
}

TEST(StepFacts, NoRowsOrALossThatIsNotFiniteChangeNothing) {
  const std::vector<double> none = facts_of(rows(0, 4), {}, false, 0, 1);
  EXPECT_FALSE(decide(StepFacts(none), 4, 1, {}).update);
  EXPECT_EQ(decide(StepFacts(none), 4, 1, {}).gradient_scale, 1);
  const std::vector<double> bad = facts_of(rows(4), spoilt(2), false, 0, 1);
  EXPECT_FALSE(decide(StepFacts(bad), 4, 1, {}).update);
}

/// Counts how often the host waits for the device.
class CountingStreams final : public DeviceStreams {
 public:
  int fetches = 0, waits = 0;
  torch::Tensor host_tensor(at::IntArrayRef shape, torch::ScalarType type) override { return torch::empty(shape, type); }
  Uploaded upload(const torch::Tensor&, const torch::Tensor&, const std::vector<torch::Tensor>&) override { return {}; }
  void await(const Uploaded&) override {}
  torch::Tensor fetch(const torch::Tensor& value) override {
    ++fetches;
    return value;
  }
  DeviceEvent record() override { return nullptr; }
  void finish(const DeviceEvent&) override { ++waits; }
  void free_cache() override {}
  bool works() override { return true; }
  bool overlaps() const override { return false; }
};

TEST(StepLosses, AreReadInOneCopy) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  StepSums sums;
  sums.losses = {{torch::tensor(0.5f), 4}, {torch::tensor(nan), 2}, {torch::tensor(1.0f), 3}, {torch::tensor(nan), 9}};
  sums.items = {{1, 2, 3, 4}, {7, 5}, {8, 9, 10}, {20, 21, 22, 23, 24, 25, 26, 27, 28}};
  CountingStreams streams;
  const StepLosses losses = read_losses(sums, streams);
  EXPECT_EQ(streams.fetches, 1);
  EXPECT_EQ(streams.waits, 1);
  EXPECT_EQ(losses.not_finite_row, 7u);
  EXPECT_EQ(losses.not_finite, " 7 5 20 21 22 23 24 25 26 27 …");
  sums.losses = {{torch::tensor(0.5f), 4}, {torch::tensor(2.0f), 2}};
  sums.items.resize(2);
  EXPECT_EQ(read_losses(sums, streams).sum, 6);
}

TEST(StepLosses, OfNoRowsNeedNoCopy) {
  CountingStreams streams;
  EXPECT_EQ(read_losses({}, streams).sum, 0);
  EXPECT_EQ(streams.fetches + streams.waits, 0);
}

TEST(NonFiniteSteps, EndATrainingWhenThereAreTooManyInARow) {
  const std::vector<double> good = facts_of(rows(4), {}, false, 0, 1), bad = facts_of(rows(4), spoilt(3), false, 0, 1);
  NonFiniteSteps steps(2);
  EXPECT_FALSE(steps.note(StepFacts(bad), 1));
  EXPECT_FALSE(steps.note(StepFacts(good), 2));
  EXPECT_EQ(steps.in_a_row(), 0u);
  EXPECT_FALSE(steps.note(StepFacts(bad), 3));
  EXPECT_EQ(
      steps.note(StepFacts(bad), 4),
      "the loss was not finite in 2 steps in a row; at step 4 on rank 0 (the batch of item 3); a smaller --lr, --clip-norm or "
      "other data may help");
}

TEST(NonFiniteSteps, AreCountedAcrossACheckpoint) {
  const std::vector<double> bad = facts_of(rows(4), spoilt(3), false, 0, 1);
  NonFiniteSteps steps(3);
  steps.restore(2);
  EXPECT_TRUE(steps.note(StepFacts(bad), 9));
}

} // namespace
} // namespace mgpu::worker::train
