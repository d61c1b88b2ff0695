#include "common/wire/activity_table.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/support/clock.hpp"

namespace mgpu::wire {
namespace {

class ActivityTableTest : public testing::Test {
 protected:
  SharedMemory memory_ = SharedMemory::create(ActivityTable::size_bytes());
  ActivityTable& board_ = ActivityTable::in(memory_);
};

TEST_F(ActivityTableTest, IsEmptyAtFirst) {
  EXPECT_TRUE(board_.read().empty());
  EXPECT_FALSE(board_.crash().has_value());
}

TEST_F(ActivityTableTest, KeepsTheFirstFinalWords) {
  EXPECT_FALSE(board_.final_words().has_value());
  board_.note_final_words(std::string(10'000, 'x'), 1);
  board_.note_final_words("later", 2);
  const auto words = board_.final_words();
  ASSERT_TRUE(words.has_value());
  EXPECT_EQ(words->text, std::string(500, 'x'));
  EXPECT_EQ(words->device, 1);
}

TEST_F(ActivityTableTest, ShowsWhatIsGoingOn) {
  const double now = now_s();
  board_.slot(0).begin(Doing::running, 3, 48, 16, now);
  board_.slot(2).begin(Doing::preparing, 4, 70, 1, now);
  board_.slot(3).begin(Doing::preparing, 4, 71, 1, now);
  board_.slot(3).end();
  const auto activities = board_.read();
  ASSERT_EQ(activities.size(), 2U);
  EXPECT_EQ(activities[0].doing, Doing::running);
  EXPECT_EQ(activities[0].batch, 3U);
  EXPECT_EQ(activities[0].first, 48U);
  EXPECT_EQ(activities[0].rows, 16U);
  EXPECT_EQ(activities[0].since_s, now);
  EXPECT_EQ(activities[1].first, 70U);
}

TEST_F(ActivityTableTest, ReadersNeverSeeHalfALine) {
  std::atomic<bool> over = false;
  std::thread writer([&] {
    for (std::uint64_t i = 1; !over; ++i)
      board_.slot(0).begin(Doing::preparing, i, 2 * i, static_cast<std::uint32_t>(i % 1000), 1);
  });
  int seen = 0;
  for (const double limit = now_s() + 5; seen < 1000 && now_s() < limit;) {
    const auto activity = board_.slot(0).read();
    if (!activity) continue;
    ++seen;
    EXPECT_EQ(activity->first, 2 * activity->batch);
    EXPECT_EQ(activity->rows, activity->batch % 1000);
  }
  over = true;
  writer.join();
  EXPECT_GT(seen, 0);
}

TEST_F(ActivityTableTest, SurvivesItsWriter) {
  const pid_t child = fork();
  if (child == 0) {
    board_.slot(5).begin(Doing::preparing, 1, 17, 1, 1);
    ActivityTable::enter(&board_.slot(5));
    board_.note_crash(SIGSEGV);
    board_.note_crash(SIGABRT); // what follows from it
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  const auto crash = board_.crash();
  ASSERT_TRUE(crash.has_value());
  EXPECT_EQ(crash->signal, SIGSEGV);
  ASSERT_TRUE(crash->activity.has_value());
  EXPECT_EQ(crash->activity->first, 17U);
}

TEST_F(ActivityTableTest, ACrashElsewhereBlamesNobody) {
  ActivityTable::enter(nullptr);
  board_.slot(5).begin(Doing::preparing, 1, 17, 1, 1);
  board_.note_crash(SIGBUS);
  ASSERT_TRUE(board_.crash().has_value());
  EXPECT_FALSE(board_.crash()->activity.has_value());
}

} // namespace
} // namespace mgpu::wire
