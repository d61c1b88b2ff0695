#include "common/support/background.hpp"

#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "common/support/clock.hpp"

namespace mgpu {
namespace {

TEST(Background, DoesTasksInOrder) {
  std::vector<int> done;
  {
    Background background;
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(background.post([&done, i] { done.push_back(i); }, 1000));
    background.post([] { throw 1; });
    background.post([&done] { done.push_back(100); });
  }
  ASSERT_EQ(done.size(), 101U);
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(done[static_cast<std::size_t>(i)], i);
}

TEST(Background, ATaskThatHangsHoldsNobodyUp) {
  std::promise<void> answer;
  const double begin = now_s();
  auto hangs = answer.get_future().share();
  Background background(1000);
  EXPECT_TRUE(background.idle());
  EXPECT_TRUE(background.post([hangs] { hangs.wait(); }, 600));
  EXPECT_TRUE(background.post([] {}, 300));
  EXPECT_FALSE(background.post([] {}, 300)) << "too much would wait";
  EXPECT_FALSE(background.idle());
  EXPECT_FALSE(background.drain(0.05));
  EXPECT_LT(now_s() - begin, 5);
  answer.set_value();
  EXPECT_TRUE(background.drain(10));
  EXPECT_TRUE(background.post([] {}, 5000)) << "one that is too large goes alone";
}

} // namespace
} // namespace mgpu
