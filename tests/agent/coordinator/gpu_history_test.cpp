#include "agent/coordinator/gpu_history.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace mgpu::agent {
namespace {

using wire::GpuState;

wire::Health at(double temperature_c, GpuState state = GpuState::fine, const std::string& reason = "") {
  wire::Health health;
  health.sample.temperature_c = temperature_c;
  health.sample.throttle_reasons = 0;
  health.state = state;
  health.reason = reason;
  return health;
}

TEST(GpuHistory, KeepsEverySampleWhileThereAreFew) {
  GpuHistory history;
  for (int sample = 0; sample < 2000; ++sample) history.add(at(sample), 5.0 * sample);
  ASSERT_EQ(history.rows().size(), 2000U);
  EXPECT_EQ(history.rows()[1999].temperature_c, 1999);
  EXPECT_EQ(history.rows()[1999].time_s, 5.0 * 1999);
}

TEST(GpuHistory, DoublesItsIntervalWhenItIsFull) {
  for (const int samples : {2001, 3999, 4000, 4001, 100'000}) {
    GpuHistory history;
    for (int sample = 0; sample < samples; ++sample) history.add(at(50), 5.0 * sample);
    const auto& rows = history.rows();
    ASSERT_LE(rows.size(), GpuHistory::most_rows) << samples;
    ASSERT_GE(rows.size(), GpuHistory::most_rows / 2) << samples;
    const double step_s = rows[1].time_s - rows[0].time_s;
    EXPECT_EQ(rows[0].time_s, 0);
    for (std::size_t row = 1; row < rows.size(); ++row)
      EXPECT_EQ(rows[row].time_s - rows[row - 1].time_s, step_s) << samples << ' ' << row;
    EXPECT_GT(rows.back().time_s + step_s, 5.0 * (samples - 1)) << "up to the end";
  }
}

TEST(GpuHistory, ThinningLosesNoErrorAndNoPeak) {
  GpuHistory history;
  for (int sample = 0; sample < 50'000; ++sample) {
    wire::Health health = at(sample == 12'345 ? 99 : 50, sample == 777 ? GpuState::held : GpuState::fine);
    if (sample == 4'321) health.xids = {74};
    if (sample == 4'322) health.xids = {45};
    if (sample == 30'001) health.sample.throttle_reasons = 0x40;
    if (sample >= 40'001) health.sample.uncorrected_ecc = 1;
    history.add(health, sample);
  }
  float hottest = 0;
  int held = 0, xid_74 = 0, slow = 0;
  for (const write::TelemetryRow& row : history.rows()) {
    hottest = std::max(hottest, row.temperature_c);
    held += row.state == static_cast<std::uint8_t>(GpuState::held) ? 1 : 0;
    xid_74 += row.xid == 74 ? 1 : 0;
    slow += row.throttle_reasons == 0x40 ? 1 : 0;
  }
  EXPECT_EQ(hottest, 99);
  EXPECT_EQ(held, 1);
  EXPECT_EQ(xid_74, 1) << "what a program causes does not hide it";
  EXPECT_EQ(slow, 1);
  EXPECT_EQ(history.rows().back().uncorrected_ecc, 1);
}

TEST(GpuHistory, AWordWithoutASampleIsNoRow) {
  GpuHistory history;
  history.add(at(50), 1);
  wire::Health only;
  only.xids = {79};
  only.state = GpuState::drained;
  only.reason = "Xid 79";
  history.add(only, 2);
  ASSERT_EQ(history.rows().size(), 1U);
  EXPECT_EQ(history.rows()[0].xid, 79U);
  EXPECT_EQ(history.rows()[0].temperature_c, 50);
  EXPECT_EQ(history.rows()[0].state, 2);
  EXPECT_EQ(history.drained(), "Xid 79");
  GpuHistory first;
  first.add(only, 1);
  ASSERT_EQ(first.rows().size(), 1U) << "all that was ever heard of it";
  EXPECT_TRUE(std::isnan(first.rows()[0].temperature_c));
  EXPECT_EQ(first.rows()[0].memory_used_bytes, -1);
}

TEST(GpuHistory, CountsTheTimeOfItsRests) {
  GpuHistory history;
  history.add(at(50), 0);
  history.add(at(90, GpuState::held), 10);
  history.add(at(85, GpuState::held), 15);
  EXPECT_EQ(history.held_s(), 5);
  history.add(at(70), 20);
  history.add(at(70), 500);
  EXPECT_EQ(history.held_s(), 10);
  history.add(at(91, GpuState::held), 600);
  history.add(at(91, GpuState::held), 607);
  EXPECT_EQ(history.held_s(), 17);
}

} // namespace
} // namespace mgpu::agent
