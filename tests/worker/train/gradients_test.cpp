#include "worker/train/gradients.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

NamedTensor parameter(const std::string& name, std::vector<std::int64_t> shape) {
  return {name, torch::ones(shape).requires_grad_(true)};
}

TEST(Layout, BucketsBeginSmallAndParametersAtCacheLines) {
  const FlatNetwork network = lay_out({parameter("head", {300'000}), parameter("a", {5}), parameter("b", {8'000'000})}, true);
  EXPECT_EQ(network.layout.buckets.size(), 2u); // the first is full with the head
  EXPECT_EQ(network.placed[1].offset % 16, 0u);
  EXPECT_EQ(network.layout.buckets.back().end, network.layout.elements);
  EXPECT_TRUE(network.layout.undecayed.empty());
}

TEST(Layout, BucketsCanBeCutIntoEqualParts) {
  const FlatNetwork network = lay_out({parameter("head", {300'000}), parameter("a", {5})}, true, 3);
  for (const collective::Slice& bucket : network.layout.buckets) EXPECT_EQ(bucket.size() % 48, 0u);
  EXPECT_EQ(network.layout.buckets.back().end, network.layout.elements);
}

TEST(Layout, NormsAndBiasesNeedNotDecay) {
  const FlatNetwork network =
      lay_out({parameter("w", {4, 4}), parameter("bias", {4}), parameter("scale", {4}), parameter("v", {4, 4})}, false);
  ASSERT_EQ(network.layout.undecayed.size(), 1u); // neighbours are one piece
  EXPECT_EQ(network.layout.undecayed[0], (collective::Slice{16, 48}));
}

struct TwoLayers {
  std::vector<NamedTensor> in_order{parameter("second", {300'000}), parameter("first", {3})};
  torch::Tensor loss() const { return (in_order[1].tensor.sum() * in_order[0].tensor).sum(); }
};

TEST(Gradients, AreCopiedThenAdded) {
  TwoLayers network;
  NotingExchange exchange(lay_out(network.in_order, true).layout.elements);
  Gradients gradients(lay_out(network.in_order, true), exchange, torch::kCPU);
  exchange.gradients()[0] = 99; // of an earlier step
  gradients.begin_step();
  gradients.begin_backward(false);
  network.loss().backward();
  EXPECT_EQ(exchange.gradients()[0], 3.0F);
  EXPECT_TRUE(exchange.announced.empty());
  gradients.begin_backward(true);
  network.loss().backward();
  EXPECT_EQ(exchange.gradients()[0], 6.0F);
  EXPECT_THAT(exchange.announced, ElementsAre(0, 1));
  EXPECT_TRUE(gradients.end_step().empty());
  EXPECT_FALSE(network.in_order[0].tensor.grad().defined()) << "no second copy is kept";
}

TEST(Gradients, FinishedParametersAreLeftAloneInTheHalves) {
  TwoLayers network;
  NotingExchange exchange(lay_out(network.in_order, true).layout.elements);
  Gradients gradients(lay_out(network.in_order, true), exchange, torch::kCPU);
  gradients.begin_step();
  gradients.begin_part(true, {true, false}); // the first attempt had finished parameter 0
  network.loss().backward();
  EXPECT_EQ(exchange.gradients()[0], 0.0F);
  EXPECT_EQ(exchange.gradients()[gradients.network().placed[1].offset], 300'000.0F);
}

TEST(Gradients, WhatTookNoPartIsZeroAndNamed) {
  TwoLayers network;
  NotingExchange exchange(lay_out(network.in_order, true).layout.elements);
  Gradients gradients(lay_out(network.in_order, true), exchange, torch::kCPU);
  exchange.gradients()[0] = 99;
  gradients.begin_step();
  gradients.begin_backward(true);
  network.in_order[1].tensor.sum().backward();
  EXPECT_THAT(gradients.end_step(), ElementsAre("second"));
  EXPECT_EQ(exchange.gradients()[0], 0.0F);
}

TEST(Gradients, GiveParametersTheirOwnStorageBack) {
  TwoLayers network;
  NotingExchange exchange(lay_out(network.in_order, true).layout.elements);
  {
    const Gradients gradients(lay_out(network.in_order, true), exchange, torch::kCPU);
    EXPECT_EQ(network.in_order[0].tensor.data_ptr<float>(), exchange.parameters());
    exchange.parameters()[0] = 5; // an update
  }
  EXPECT_NE(network.in_order[0].tensor.data_ptr<float>(), exchange.parameters());
  EXPECT_EQ(network.in_order[0].tensor[0].item<float>(), 5.0F);
}

std::string reason_of_probe(SmallTraining& training) {
  const std::vector<Item> items{{0, "good", false, "", {}}};
  try {
    probe(training, TrialBatch(training, items, 4, torch::kCPU).batch, RankContext());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Probe, FindsTheOrderOfBackward) {
  SmallTraining training;
  training.use_unused = false;
  const std::vector<Item> items{{0, "good", false, "", {}}};
  const Probe seen = probe(training, TrialBatch(training, items, 4, torch::kCPU).batch, RankContext());
  EXPECT_THAT(seen.unused, ElementsAre("unused.weight", "unused.bias"));
  EXPECT_TRUE(seen.in_order[0].name.starts_with("second"));
  EXPECT_FALSE(seen.in_order[0].tensor.grad().defined());
}

TEST(Probe, SaysWhatCannotBeTrained) {
  struct NoParameters final : SmallTraining {
    std::vector<NamedTensor> parameters() override { return {}; }
  } none;
  EXPECT_THAT(reason_of_probe(none), HasSubstr("no parameters"));
  struct NoScalar final : SmallTraining {
    torch::Tensor loss(const Batch& batch) override { return batch.input; }
  } vector;
  EXPECT_THAT(reason_of_probe(vector), HasSubstr("not one number but [4, 6]"));
  struct Constant final : SmallTraining {
    torch::Tensor loss(const Batch&) override { return torch::zeros({}); }
  } constant;
  EXPECT_THAT(reason_of_probe(constant), HasSubstr("does not depend on any parameter"));
  SmallTraining frozen;
  for (const NamedTensor& each : frozen.parameters()) torch::Tensor(each.tensor).requires_grad_(false);
  EXPECT_THAT(reason_of_probe(frozen), HasSubstr("every parameter of the network is frozen"));
}

TEST(Probe, WhatIsFrozenInTheFileIsNotMissed) {
  SmallTraining training;
  training.network.unused.weight.requires_grad_(false);
  training.network.first.weight.requires_grad_(false);
  const std::vector<Item> items(4);
  const Probe seen = probe(training, TrialBatch(training, items, 4, torch::kCPU).batch, RankContext());
  EXPECT_EQ(seen.in_order.size(), training.parameters().size());
  EXPECT_TRUE(seen.unused.empty());
}

TEST(LargestBatch, IsTheLastThatFits) {
  SmallTraining training;
  const std::vector<Item> items{{0, "good", false, "", {}}};
  Faults faults("oom:above=20", 0);
  const auto tried = [&](std::int64_t rows) { faults.before_rows_of_step(0, rows); };
  EXPECT_EQ(largest_batch(training, items, 4096, RankContext(), 0, tried, [] {}), 16);
  EXPECT_EQ(largest_batch(training, items, 8, RankContext(), 1 << 20, tried, [] {}), 8);
}

TEST(Faults, AreReadAndHappenOnce) {
  Faults faults("oom:rank=1,step=3; nan:step=5", 1);
  EXPECT_NO_THROW(faults.before_rows_of_step(2, 8));
  EXPECT_THROW(faults.before_rows_of_step(3, 8), std::bad_alloc);
  EXPECT_NO_THROW(faults.before_rows_of_step(3, 4));
  EXPECT_TRUE(faults.spoils_step(5));
  EXPECT_FALSE(faults.spoils_step(6));
  EXPECT_FALSE(Faults("oom:rank=1", 0).any("oom"));
  for (const char* text : {"fire:step=1", "oom:step", "oom:step=x", "oom:place=1"}) EXPECT_THROW(Faults(text, 0), Error) << text;
}

} // namespace
} // namespace mgpu::worker::train
