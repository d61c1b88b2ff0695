// The early ends of an item run, and the time that it gives its ranks.
#include <csignal>

#include "agent/items/item_rig.hpp"

namespace mgpu::agent {
namespace {

using testing::Contains;
using testing::ElementsAre;

TEST_F(ItemTest, ASignalLetsTheRanksFinishWhatTheyHold) {
  begin(40);
  const std::size_t in_hand = held(0).size() + held(1).size();
  process_.signal = {SIGUSR1, 0, 0};
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal USR1");
  EXPECT_EQ(ended.outcome.done, 4 * in_hand);
  EXPECT_FALSE(write::ReadFile(setup_.output).complete());
  EXPECT_THAT(rows(), AllOf(Contains("2"), Contains("pending")));
  EXPECT_THAT(said(), AllOf(HasSubstr("stopping: signal USR1 received; batches in hand are finished first (20 s at most)"),
                            HasSubstr("the same command with --resume finishes the job")));
}

TEST_F(ItemTest, ASignalWaitsForARankOnlyAsLongAsItsGrace) {
  begin(8);
  process_.signal = {SIGTERM, 0, 0};
  round();
  live(19.5, {1});
  EXPECT_EQ(count(1, Type::finish), 0);
  live(1, {1});
  EXPECT_EQ(count(1, Type::finish), 1);
  live(2, {1});
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.outcome.done, 0U);
}

TEST_F(ItemTest, AStoppedRunIsGoneOnWith) {
  begin(40, {"a"});
  process_.signal = {SIGTERM, 0, 0};
  const Ended first = end_working({0});
  EXPECT_GT(first.outcome.done, 0U);
  process_.signal = {};
  setup_.resume = true;
  again({"a", "b"});
  for (const int rank : {0, 1}) open_rank(rank);
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(ended.outcome.earlier, first.outcome.done);
  EXPECT_EQ(ended.outcome.done, 40U);
  EXPECT_THAT(rows(), Not(Contains("pending")));
  EXPECT_THAT(said(), HasSubstr(fmt::format("--resume: {} of 40 items are done already", first.outcome.done)));
}

TEST_F(ItemTest, ALeaseThatIsOverdueCostsTheRank) {
  setup_.item_timeout_s = 1; // a batch of 4 may take 10 s + 5 s
  begin(8);
  live(14, {1});
  EXPECT_EQ(coordinator_->rank_table().at(1).lost, "");
  while (!held(0).empty()) answer(0, take(0));
  round();
  live(2, {1});
  EXPECT_EQ(coordinator_->rank_table().at(1).lost, "its batch took longer than --item-timeout allows (1 s)");
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
  EXPECT_THAT(rows(), Not(Contains("pending")));
}

TEST_F(ItemTest, TimeOfASuspensionIsHeldAgainstNoLease) {
  setup_.item_timeout_s = 1;
  begin(8);
  live(5, {1});
  pass(3600);
  round();
  live(8, {1});
  for (const int rank : {0, 1}) EXPECT_EQ(coordinator_->rank_table().at(rank).lost, "");
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  EXPECT_THAT(rows(), ElementsAre("0", "2", "4", "6", "8", "10", "12", "14"));
}

TEST_F(ItemTest, AnInputThatDoesNotAnswerStopsTheRun) {
  setup_.stall_timeout_s = 2;
  begin(8);
  const Ended ended = end([&] {
    pass(0.5);
    say(1, Type::heartbeat);
  });
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, HasSubstr("no rank got anything read for 12"));
  EXPECT_THAT(ended.text, HasSubstr("s: the input does not answer"));
}

TEST_F(ItemTest, TimeOfASuspensionIsNotHeldAgainstTheInput) {
  setup_.stall_timeout_s = 60;
  begin(8);
  live(5, {1});
  pass(7200);
  round();
  live(5, {1});
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(ended.text, "");
}

TEST_F(ItemTest, AWorkerThatStallsAgainAndAgainCostsTheRank) {
  setup_.max_restarts = 2;
  setup_.retries = 9;
  begin(8, {"a", "b"});
  for (int death = 0; death <= 2; ++death) {
    EXPECT_EQ(coordinator_->rank_table().at(1).lost, "");
    wire::Died died{.reason = "stalled", .cause = wire::FailureCause::late};
    died.stalled = 1;
    die(1, died);
    round();
  }
  EXPECT_EQ(coordinator_->rank_table().at(1).lost, "its worker stalled 3 times, with nothing done between");
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
}

} // namespace
} // namespace mgpu::agent
