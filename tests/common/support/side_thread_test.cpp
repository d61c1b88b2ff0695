#include "common/support/side_thread.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

#include "common/support/clock.hpp"

namespace mgpu {
namespace {

TEST(SideThread, IsDoneAfterItsWork) {
  std::atomic<bool> worked{false};
  SideThread thread([&] { worked = true; });
  EXPECT_TRUE(thread.done(std::chrono::seconds(10)));
  EXPECT_TRUE(worked);
  EXPECT_LT(thread.still_s(), 1.0);
}

TEST(SideThread, TellsWhatStandsStillFromWhatIsSlow) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  SideThread waits([fd = ends[0]] {
    char byte = 0;
    [[maybe_unused]] const auto got = ::read(fd, &byte, 1);
  });
  std::atomic<bool> stop{false};
  SideThread naps([&] {
    while (!stop) ::usleep(5000);
  });
  double slow_s = 0;
  for (const double end = now_s() + 0.6; now_s() < end; ::usleep(20000)) {
    waits.still_s();
    slow_s = std::max(slow_s, naps.still_s());
  }
  EXPECT_GT(waits.still_s(), 0.4);
  EXPECT_LT(slow_s, 0.3);
  EXPECT_FALSE(waits.done());
  stop = true;
  EXPECT_TRUE(naps.done(std::chrono::seconds(10)));
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  EXPECT_TRUE(waits.done(std::chrono::seconds(10)));
}

TEST(SideThread, LeavesBehindWhatHangs) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto held = std::make_shared<std::atomic<int>>(0);
  {
    SideThread waits([fd = ends[0], held] {
      char byte = 0;
      [[maybe_unused]] const auto got = ::read(fd, &byte, 1);
      *held = 1;
    });
  }
  EXPECT_EQ(held.use_count(), 2);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  for (const double end = now_s() + 10; held.use_count() > 1 && now_s() < end;) ::usleep(1000);
  EXPECT_EQ(*held, 1);
}

} // namespace
} // namespace mgpu
