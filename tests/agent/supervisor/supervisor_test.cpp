// Workers that die, one after another.
#include <gmock/gmock.h>

#include <algorithm>

#include "agent/supervisor/supervisor_rig.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {
namespace {

using wire::DeviceTrouble;
using wire::FailureCause;

/// A last validation that fails: nobody begins it again, and its reason must be heard.
TEST_F(SupervisorTest, AFailureAfterTheLastWorkIsPassedOn) {
  open();
  supervisor_.post(Type::finish);
  worker().say(Type::failure, wire::Failure{1, "the metric has no value"});
  worker().end = "exit code 1";
  EXPECT_TRUE(poll_until([&] { return std::count(seen_.begin(), seen_.end(), Type::failure) == 1; }));
  EXPECT_TRUE(died_.empty());
}

TEST_F(SupervisorTest, AnotherTakesThePlaceOfOneThatDied) {
  open();
  worker().board().slot(2).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  worker().board().slot(0).begin(wire::Doing::running, 3, 48, 16, now_s());
  worker().end = "killed by signal 9 (Killed)";
  seen_.clear();
  poll();
  poll();
  EXPECT_THAT(seen_, testing::ElementsAre(Type::died, Type::hello));
  ASSERT_EQ(died_.size(), 1U);
  EXPECT_EQ(died_[0].reason, "killed by signal 9 (Killed)");
  EXPECT_EQ(died_[0].cause, FailureCause::signal);
  EXPECT_EQ(died_[0].last_words, "so long");
  EXPECT_EQ(died_[0].certain, 0);
  EXPECT_EQ(died_[0].retired, 0);
  ASSERT_EQ(died_[0].suspects.size(), 2U);
  EXPECT_EQ(died_[0].suspects[0].batch, 3U);
  EXPECT_EQ(died_[0].suspects[0].rows, 16U);
  EXPECT_EQ(died_[0].suspects[1].first, 70U);
  EXPECT_EQ(workers_.size(), 2U);
  EXPECT_FALSE(supervisor_.ended().has_value());
}

TEST_F(SupervisorTest, ACrashIsPutDownToItsThread) {
  open();
  worker().board().slot(0).begin(wire::Doing::running, 3, 48, 16, now_s());
  worker().board().slot(2).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  wire::ActivityTable::enter(&worker().board().slot(2));
  worker().board().note_crash(11);
  wire::ActivityTable::enter(nullptr);
  worker().end = "killed by signal 11 (Segmentation fault)";
  poll();
  ASSERT_EQ(died_.size(), 1U);
  EXPECT_THAT(died_[0].reason, HasSubstr("while preparing item 70"));
  EXPECT_EQ(died_[0].cause, FailureCause::signal);
  EXPECT_EQ(died_[0].certain, 1);
  ASSERT_EQ(died_[0].suspects.size(), 1U);
  EXPECT_EQ(died_[0].suspects[0].first, 70U);
}

TEST_F(SupervisorTest, AnItemThatTakesTooLongEndsItsWorker) {
  open(2, 0.1);
  worker().board().slot(2).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  worker().board().slot(0).begin(wire::Doing::running, 3, 48, 1, now_s()); // cut, but computed whole: has 16 times as long
  ASSERT_TRUE(poll_until([&] { return !died_.empty(); }));
  EXPECT_THAT(died_[0].reason, HasSubstr("preparing item 70 took longer than --item-timeout"));
  EXPECT_EQ(died_[0].cause, FailureCause::late);
  EXPECT_EQ(died_[0].certain, 1);
  ASSERT_EQ(died_[0].suspects.size(), 1U);
  EXPECT_EQ(died_[0].suspects[0].first, 70U);
}

TEST_F(SupervisorTest, OneThatDoesNothingWithAnItemInHandIsEnded) {
  configure(2, 0, 0.3);
  worker().say(Type::opened, wire::Opened{});
  worker().board().slot(2).begin(wire::Doing::preparing_validation, 4, 70, 1, now_s());
  ASSERT_TRUE(poll_until([&] { return !died_.empty(); }));
  EXPECT_EQ(died_[0].reason, "did nothing for 0.3 s while preparing validation item 70 (--stall-timeout)");
  EXPECT_EQ(died_[0].certain, 1);
  ASSERT_EQ(died_[0].suspects.size(), 1U);
  EXPECT_EQ(died_[0].suspects[0].part, 1);
}

TEST_F(SupervisorTest, TimeInWhichTheJobWasSuspendedDoesNotCount) {
  configure(2, 0.5, 0.8);
  worker().say(Type::opened, wire::Opened{});
  worker().board().slot(2).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  poll();
  std::this_thread::sleep_for(std::chrono::milliseconds(1100)); // nobody polls
  EXPECT_FALSE(poll_until([&] { return !died_.empty(); }, 0.3));
  ASSERT_TRUE(poll_until([&] { return !died_.empty(); }));
  EXPECT_THAT(died_[0].reason, HasSubstr("--item-timeout"));
}

TEST_F(SupervisorTest, OneThatComputesOrReadsIsLeftAlone) {
  configure(2, 0, 0.3);
  worker().say(Type::opened, wire::Opened{});
  auto& first = worker(); // the last one made is a spare, later
  first.board().slot(2).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  const auto ended = [&] { return !died_.empty(); };
  EXPECT_FALSE(poll_until([&] { return first.usage_.cpu_s += 0.001, ended(); }, 0.9));
  EXPECT_FALSE(poll_until([&] { return first.usage_.io_bytes += 100'000, ended(); }, 0.9));
}

TEST_F(SupervisorTest, OneThatGoesFromItemToItemOrHasNoneIsLeftAlone) {
  configure(2, 0, 0.3);
  auto& first = worker();
  first.say(Type::opened, wire::Opened{});
  std::uint64_t item = 0;
  double since_s = now_s();
  const auto next = [&] {
    if (now_s() - since_s > 0.1) first.board().slot(2).begin(wire::Doing::preparing, 4, ++item, 1, since_s = now_s());
    return !died_.empty();
  };
  EXPECT_FALSE(poll_until(next, 0.9));
  first.board().slot(2).end();
  EXPECT_FALSE(poll_until([&] { return !died_.empty(); }, 0.9));
}

TEST_F(SupervisorTest, AGpuMayTakeItsTime) {
  configure(2, 0, 0.3);
  wire::Opened opened;
  opened.uuid = "GPU-1234";
  worker().say(Type::opened, opened);
  worker().board().slot(0).begin(wire::Doing::running, 4, 64, 16, now_s());
  EXPECT_FALSE(poll_until([&] { return !died_.empty(); }, 0.9));
}

TEST_F(SupervisorTest, AModelThatNeverOpensCostsTheRankNotTheRun) {
  configure(1, 0, 0.2);
  ASSERT_TRUE(poll_until([&] { return died_.size() == 1; }));
  EXPECT_EQ(died_[0].reason, "did nothing for 0.2 s while opening the model (--stall-timeout)");
  EXPECT_EQ(died_[0].retired, 0);
  configure(1, 0, 0.2);
  ASSERT_TRUE(poll_until([&] { return died_.size() == 2; }));
  EXPECT_EQ(died_[1].retired, 1);
}

TEST_F(SupervisorTest, ItsOwnFailureIsTheReason) {
  open();
  worker().say(Type::failure, wire::Failure{1, "CUDA error: the device is lost", FailureCause::device, DeviceTrouble::hardware});
  worker().end = "exit code 1";
  poll();
  ASSERT_EQ(died_.size(), 1U);
  EXPECT_EQ(died_[0].reason, "CUDA error: the device is lost");
  EXPECT_THAT(seen_, testing::Not(testing::Contains(Type::failure)));
}

TEST_F(SupervisorTest, FinalWordsOnTheBoardAreTheReason) {
  open();
  worker().board().slot(0).begin(wire::Doing::running, 3, 48, 16, now_s());
  worker().board().slot(5).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  worker().board().note_crash(SIGABRT);
  worker().board().note_final_words("CUDA error: device-side assert triggered",
                                    static_cast<std::uint8_t>(DeviceTrouble::context));
  worker().end = "exit code 1";
  poll();
  ASSERT_EQ(died_.size(), 1U);
  EXPECT_EQ(died_[0].reason, "CUDA error: device-side assert triggered");
  EXPECT_EQ(died_[0].cause, FailureCause::device);
  EXPECT_EQ(died_[0].certain, 0);
  EXPECT_EQ(died_[0].device, DeviceTrouble::context);
  ASSERT_EQ(died_[0].suspects.size(), 1U); // a kernel failed: the item that a loader prepared is not charged
  EXPECT_EQ(died_[0].suspects[0].first, 48U);
}

TEST_F(SupervisorTest, IsGivenUpAfterTooManyInARow) {
  open(2);
  for (int death = 1; death <= 3; ++death) {
    worker().end = "exit code 7";
    poll();
    ASSERT_EQ(died_.size(), static_cast<std::size_t>(death));
    EXPECT_EQ(died_.back().retired, death == 3 ? 1 : 0);
  }
  EXPECT_EQ(workers_.size(), 3U);
  EXPECT_TRUE(supervisor_.ended().has_value());
}

TEST_F(SupervisorTest, ASearchForThePoisonDoesNotCostTheRank) {
  open(3);
  for (const std::uint32_t rows : {64U, 64U, 32U, 16U, 8U, 4U, 2U, 1U, 1U}) {
    worker().board().slot(0).begin(wire::Doing::running, 3, 0, rows, now_s());
    wire::ActivityTable::enter(&worker().board().slot(0));
    worker().board().note_crash(11);
    wire::ActivityTable::enter(nullptr);
    worker().end = "killed by signal 11 (Segmentation fault)";
    poll();
    EXPECT_EQ(died_.back().suspects.at(0).rows, rows);
    EXPECT_EQ(died_.back().retired, 0) << rows;
    configure(3);
    poll();
  }
  worker().end = "exit code 7"; // nobody is suspected
  poll();
  EXPECT_EQ(died_.back().retired, 1);
}

TEST_F(SupervisorTest, OneThatDiesWhileItOpensAgainIsReplaced) {
  constexpr std::int32_t as_a_training = -1;
  open(as_a_training);
  wire::Buffer bytes;
  wire::encode(wire::Halt{1, "rank 1 died"}, bytes);
  supervisor_.post(Type::halt, bytes);
  worker().end = "";
  poll();
  configure(as_a_training);
  worker().end = "killed by signal 9 (Killed)";
  poll();
  ASSERT_EQ(died_.size(), 2U);
  EXPECT_EQ(died_[1].retired, 0);
  EXPECT_FALSE(supervisor_.ended().has_value());
}

TEST_F(SupervisorTest, WorkersThatCannotEvenBeStartedAreNotReplacedForEver) {
  open(-1);
  for (int death = 0; death < 20 && (died_.empty() || died_.back().retired == 0); ++death) {
    worker().end = "exit code 127";
    poll();
  }
  EXPECT_EQ(died_.back().retired, 1);
  EXPECT_LT(workers_.size(), 10U);
}

TEST_F(SupervisorTest, ANextOneThatCannotBeMadeIsTheRanksLoss) {
  open();
  no_more_ = true;
  worker().end = "killed by signal 9 (Killed)";
  poll();
  ASSERT_EQ(died_.size(), 1U);
  EXPECT_EQ(died_[0].retired, 1);
  EXPECT_THAT(died_[0].reason, HasSubstr("too many open files"));
}

TEST_F(SupervisorTest, WithoutRestartsOneThatStandsStillIsEndedToo) {
  configure(0, 0, 0.2);
  worker().say(Type::opened, wire::Opened{});
  worker().board().slot(2).begin(wire::Doing::preparing, 4, 70, 1, now_s());
  ASSERT_TRUE(poll_until([&] { return supervisor_.ended().has_value(); }));
  EXPECT_THAT(supervisor_.ended()->text, HasSubstr("did nothing for 0.2 s while preparing item 70"));
  EXPECT_TRUE(died_.empty());
}

} // namespace
} // namespace mgpu::agent
