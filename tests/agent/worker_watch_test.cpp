// With a clock of the test's own.
#include "agent/worker_watch.hpp"

#include <gmock/gmock.h>

#include "wire/ring.hpp"

namespace mgpu::agent {
namespace {

class WatchTest : public testing::Test {
 protected:
  wire::SharedMemory memory_ = wire::SharedMemory::create(wire::FlightBoard::size_bytes());
  wire::FlightBoard& board_ = wire::FlightBoard::in(memory_);
  WorkerWatch watch_;

  std::string reason(double now) {
    const auto late = watch_.look({board_, [] { return Effort(); }, true, false}, now);
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

} // namespace
} // namespace mgpu::agent
