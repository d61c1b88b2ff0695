#include "agent/dispatch/blame.hpp"

#include <gtest/gtest.h>

namespace mgpu::agent::dispatch {
namespace {

constexpr std::uint32_t retries = 2;

Lease lease_of(std::uint32_t begin, std::uint32_t rows, std::uint32_t attempt = 1) {
  return {7, begin, rows, attempt, 0, static_cast<double>(rows)};
}

TEST(Blame, WhatOnlyWaitedGoesBackAsItWas) {
  for (const bool certain : {true, false}) {
    const Verdict verdict = judge(lease_of(0, 8), {{{6, 0, 8}}, certain}, retries);
    ASSERT_EQ(verdict.again.size(), 1U);
    EXPECT_EQ(verdict.again[0].attempt, 1U);
    EXPECT_FALSE(verdict.again[0].suspicious());
    EXPECT_TRUE(verdict.failed.empty());
  }
}

TEST(Blame, OfAPartOnlyItsOwnRowsCount) {
  const Verdict verdict = judge(lease_of(4, 4), {{{7, 0, 4}}, false}, retries);
  ASSERT_EQ(verdict.again.size(), 1U);
  EXPECT_EQ(verdict.again[0].attempt, 1U);
}

TEST(Blame, ACertainRowIsCutOut) {
  const Verdict verdict = judge(lease_of(0, 8), {{{7, 3, 1}}, true}, retries);
  ASSERT_EQ(verdict.again.size(), 3U);
  EXPECT_EQ(verdict.again[0].begin, 0U);
  EXPECT_EQ(verdict.again[0].rows, 3U);
  EXPECT_EQ(verdict.again[0].attempt, 1U);
  EXPECT_EQ(verdict.again[1].begin, 3U);
  EXPECT_EQ(verdict.again[1].rows, 1U);
  EXPECT_TRUE(verdict.again[1].suspicious());
  EXPECT_EQ(verdict.again[2].begin, 4U);
  EXPECT_EQ(verdict.again[2].rows, 4U);
  EXPECT_EQ(verdict.again[2].attempt, 1U);
  double cost = 0;
  for (const Lease& part : verdict.again) cost += part.cost;
  EXPECT_DOUBLE_EQ(cost, 8);
}

TEST(Blame, ARowAloneIsGivenUpAfterItsRetries) {
  Lease row = lease_of(3, 1);
  for (std::uint32_t death = 1; death <= retries; ++death) {
    const Verdict verdict = judge(row, {{{7, 3, 1}}, true}, retries);
    ASSERT_EQ(verdict.again.size(), 1U) << "death " << death;
    row = verdict.again[0];
  }
  const Verdict verdict = judge(row, {{{7, 3, 1}}, true}, retries);
  EXPECT_TRUE(verdict.again.empty());
  ASSERT_EQ(verdict.failed.size(), 1U);
  EXPECT_EQ(verdict.failed[0].attempt, retries + 2);
  EXPECT_EQ(judge(lease_of(3, 1), {{{7, 3, 1}}, true}, 0).failed.size(), 1U) << "--retries 0";
}

/// A sick GPU fails whatever it is given, and good items must not pay for it.
TEST(Blame, AGpuAloneDoesNotCharge) {
  const auto dies_on = [](int rank, bool has_other) { return Death{{{7, 0, 4}}, false, rank, has_other}; };
  Lease lease = lease_of(0, 4);
  for (int times = 0; times < 3; ++times) {
    const Verdict verdict = judge(lease, dies_on(1, true), retries);
    ASSERT_EQ(verdict.again.size(), 1U);
    lease = verdict.again[0];
    EXPECT_EQ(lease.attempt, 1U);
    EXPECT_EQ(lease.broke_on, 1);
    EXPECT_TRUE(lease.suspicious()) << "it runs alone";
  }
  const Verdict second = judge(lease, dies_on(0, true), retries);
  ASSERT_EQ(second.again.size(), 1U);
  EXPECT_EQ(second.again[0].attempt, 2U) << "two GPUs: it may be the items";
  EXPECT_EQ(second.again[0].broke_on, -1) << "anybody may try it now";
  const Verdict third = judge(second.again[0], dies_on(1, true), retries);
  EXPECT_EQ(third.again.size(), 2U) << "halved";
  EXPECT_EQ(judge(lease_of(0, 4), dies_on(1, false), retries).again[0].attempt, 2U) << "there is no other GPU";
}

TEST(Blame, ADeathOfAnotherKindChargesWhatAGpuFailedOver) {
  Lease lease = lease_of(3, 1);
  lease.broke_on = 1;
  const Verdict verdict = judge(lease, {{{7, 3, 1}}, true}, retries);
  ASSERT_EQ(verdict.again.size(), 1U);
  EXPECT_EQ(verdict.again[0].attempt, 2U);
}

TEST(Blame, OneDeathMayComeFromOutside) {
  const Verdict first = judge(lease_of(0, 5), {{{7, 0, 5}}, false}, retries);
  ASSERT_EQ(first.again.size(), 1U);
  EXPECT_EQ(first.again[0].rows, 5U);
  const Verdict second = judge(first.again[0], {{{7, 0, 5}}, false}, retries);
  ASSERT_EQ(second.again.size(), 2U);
  EXPECT_EQ(second.again[0].rows + second.again[1].rows, 5U);
  EXPECT_EQ(second.again[1].begin, second.again[0].rows);
}

} // namespace
} // namespace mgpu::agent::dispatch
