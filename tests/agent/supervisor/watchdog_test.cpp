// With a clock of the test's own.
#include "agent/supervisor/watchdog.hpp"

#include <gmock/gmock.h>

#include "common/wire/ring.hpp"

namespace mgpu::agent {
namespace {

class WatchTest : public testing::Test {
 protected:
  wire::SharedMemory memory_ = wire::SharedMemory::create(wire::ActivityTable::size_bytes());
  wire::ActivityTable& board_ = wire::ActivityTable::in(memory_);
  Watchdog watch_;

  std::string reason(double now) {
    const auto late = watch_.look({board_, [] { return ProcessUsage(); }, true, false}, now);
    return late ? late->reason : "";
  }
};

TEST_F(WatchTest, SilenceIsWaitedForAsLongAsTheStallLimitSays) {
  watch_.set_limits({0, 60, 8});
  EXPECT_EQ(reason(100), "");
  EXPECT_EQ(reason(160), "");
  board_.beat();
  EXPECT_EQ(reason(161), "");
  EXPECT_EQ(reason(221), "");
  EXPECT_EQ(reason(222), "no sign of life for 60 s (--stall-timeout)");
}

TEST_F(WatchTest, AndNotMuchLongerThanABatchMayTake) {
  watch_.set_limits({2, 60, 8});
  EXPECT_EQ(reason(100), "");
  EXPECT_EQ(reason(116), "");
  EXPECT_EQ(reason(117), "no sign of life for 16 s (--item-timeout)");
}

TEST_F(WatchTest, ButNeverForLessThanTenSeconds) {
  watch_.set_limits({0.1, 0, 1});
  EXPECT_EQ(reason(100), "");
  EXPECT_EQ(reason(110), "");
  EXPECT_EQ(reason(111), "no sign of life for 10 s (--item-timeout)");
}

TEST_F(WatchTest, WithoutLimitsNothingIsLate) {
  board_.slot(2).begin(wire::Doing::preparing, 4, 70, 1, 100);
  EXPECT_EQ(reason(100), "");
  EXPECT_EQ(reason(1e6), "");
}

TEST_F(WatchTest, AModelThatLoopsHasAnEndWithoutALimit) {
  watch_.set_limits({-1, 0, 8});
  board_.slot(0).begin(wire::Doing::running, 4, 32, 8, 100);
  EXPECT_EQ(reason(100), "");
  EXPECT_EQ(reason(3700), "") << "none was seen: it may be slow";
  EXPECT_EQ(reason(3701), "running items 32 to 39 took longer than --item-timeout auto allows (3600 s)");
  board_.note_typical(wire::Doing::running, 0.5);
  EXPECT_EQ(reason(700), "");
  EXPECT_EQ(reason(701), "running items 32 to 39 took longer than --item-timeout auto allows (600 s)");
  board_.note_typical(wire::Doing::running, 20);
  EXPECT_EQ(reason(2100), "");
  EXPECT_EQ(reason(2101), "running items 32 to 39 took longer than --item-timeout auto allows (2000 s)");
}

TEST_F(WatchTest, AnItemIsMeasuredByItems) {
  watch_.set_limits({-1, 0, 8});
  board_.note_typical(wire::Doing::running, 1000);
  board_.note_typical(wire::Doing::preparing, 0.01);
  board_.slot(2).begin(wire::Doing::preparing, 4, 70, 1, 100);
  EXPECT_EQ(reason(700), "");
  EXPECT_EQ(reason(701), "preparing item 70 took longer than --item-timeout auto allows (600 s)");
}

TEST_F(WatchTest, CollectingCountsAsABatch) {
  watch_.set_limits({2, 0, 8});
  board_.slot(2).begin(wire::Doing::collecting, 4, 32, 8, 100);
  board_.beat();
  EXPECT_EQ(reason(110), "");
  board_.beat();
  EXPECT_EQ(reason(117), "collecting items 32 to 39 took longer than --item-timeout allows (16 s)");
}

} // namespace
} // namespace mgpu::agent
