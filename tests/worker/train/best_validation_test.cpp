#include "worker/train/best_validation.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace mgpu::worker::train {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(BestValidation, TheFirstIsTheBest) {
  BestValidation best;
  EXPECT_FALSE(best.value());
  EXPECT_TRUE(best.note({{"loss", 2}}, 5));
  EXPECT_EQ(best.value(), 2);
  EXPECT_EQ(best.step(), 5u);
}

TEST(BestValidation, LargerAccuracyIsBetter) {
  BestValidation best;
  EXPECT_TRUE(best.note({{"accuracy", 0.5}}, 1));
  EXPECT_FALSE(best.note({{"accuracy", 0.5}}, 2)); // a tie keeps the earlier network
  EXPECT_FALSE(best.note({{"accuracy", 0.4}}, 3));
  EXPECT_TRUE(best.note({{"accuracy", 0.6}}, 4));
  EXPECT_EQ(best.step(), 4u);
}

TEST(BestValidation, SmallerErrorAndLossAreBetter) {
  for (const char* name : {"cer", "loss"}) {
    BestValidation best;
    EXPECT_TRUE(best.note({{name, 0.5}}, 1)) << name;
    EXPECT_FALSE(best.note({{name, 0.5}}, 2)) << name;
    EXPECT_FALSE(best.note({{name, 0.6}}, 3)) << name;
    EXPECT_TRUE(best.note({{name, 0.4}}, 4)) << name;
  }
}

TEST(BestValidation, AccuracyCountsBeforeErrorRateBeforeLoss) {
  BestValidation best;
  EXPECT_TRUE(best.note({{"accuracy", 0.5}, {"cer", 0.1}, {"loss", 1}}, 1));
  EXPECT_EQ(best.value(), 0.5);
  EXPECT_FALSE(best.note({{"accuracy", 0.4}, {"cer", 0}, {"loss", 0}}, 2));
  BestValidation by_error;
  EXPECT_TRUE(by_error.note({{"cer", 0.3}, {"loss", 1}}, 1));
  EXPECT_EQ(by_error.value(), 0.3);
}

TEST(BestValidation, NanIsNeverTheBest) {
  BestValidation best;
  EXPECT_FALSE(best.note({{"loss", nan}}, 1));
  EXPECT_FALSE(best.value());
  EXPECT_TRUE(best.note({{"loss", 3}}, 2));
  EXPECT_FALSE(best.note({{"loss", nan}}, 3));
  EXPECT_TRUE(best.note({{"loss", 2}}, 4));
}

TEST(BestValidation, ContinuesFromACheckpoint) {
  BestValidation best;
  best.restore(0.7, 12);
  EXPECT_FALSE(best.note({{"accuracy", 0.6}}, 20));
  EXPECT_EQ(best.step(), 12u);
}

} // namespace
} // namespace mgpu::worker::train
