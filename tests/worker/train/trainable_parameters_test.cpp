#include "worker/train/trainable_parameters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mgpu/error.hpp"
#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names_of(const std::vector<NamedTensor>& parameters) {
  std::vector<std::string> names;
  for (const NamedTensor& each : parameters) names.push_back(each.name);
  return names;
}

Stage freezing(std::vector<std::string> prefixes) {
  return Stage{"head", 1, 0.1, std::move(prefixes), 0, 1, 1};
}

TEST(TrainableParameters, FollowTheStage) {
  SmallTraining training;
  std::vector<NamedTensor> in_order = training.parameters();
  std::reverse(in_order.begin(), in_order.end());
  TrainableParameters parameters(training, in_order);
  const TrainableParameters::Counts counts = parameters.begin(freezing({"first", "unused"}));
  EXPECT_EQ(counts.trained, hidden * classes + classes);
  EXPECT_EQ(counts.all, counts.trained + width * hidden + hidden + 2 * 2 + 2);
  EXPECT_THAT(names_of(parameters.trained()), ElementsAre("second.bias", "second.weight")); // as backward finishes them
  EXPECT_THAT(names_of(parameters.untrained()),
              UnorderedElementsAre("first.weight", "first.bias", "unused.weight", "unused.bias"));
  const TrainableParameters::Counts all = parameters.begin(freezing({}));
  EXPECT_EQ(all.trained, all.all);
  EXPECT_TRUE(training.network.first.weight.requires_grad());
}

TEST(TrainableParameters, WhatIsFrozenInTheFileIsTrainedInNoStage) {
  SmallTraining training;
  training.network.first.weight.requires_grad_(false);
  TrainableParameters parameters(training, training.parameters());
  parameters.begin(freezing({}));
  EXPECT_THAT(names_of(parameters.untrained()), ElementsAre("first.weight"));
}

TEST(TrainableParameters, APrefixThatNothingHasIsRefused) {
  SmallTraining training;
  TrainableParameters parameters(training, training.parameters());
  EXPECT_THROW(parameters.begin(freezing({"backbone"})), Error);
}

} // namespace
} // namespace mgpu::worker::train
