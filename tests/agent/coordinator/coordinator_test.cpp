// What becomes of a run in each of its phases: ranks that do not come, are lost, or were suspended.
#include "agent/coordinator/coordinator.hpp"

#include "agent/coordinator/coordinator_rig.hpp"

namespace mgpu::agent {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(CoordinatorTest, ARunGoesFromJoiningToBye) {
  run();
  EXPECT_THAT(script_.told, UnorderedElementsAre("start", "opened 0", "opened 1", "opened 2"));
  EXPECT_EQ(last<wire::Configure>(2, Type::configure).host, "c");
  EXPECT_EQ(last<wire::Configure>(2, Type::configure).world_size, 3);
  EXPECT_EQ(count(2, Type::supervise), 1);
  script_.work_over = true;
  round();
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(count(rank, Type::finish), 1);
  EXPECT_EQ(end_well().code, ExitCode::ok);
  EXPECT_TRUE(dismiss());
  EXPECT_EQ(last<wire::Bye>(1, Type::bye).without_finalize, 0);
  EXPECT_FALSE(coordinator_->lost_machines());
}

TEST_F(CoordinatorTest, ADryRunEndsWithThePlan) {
  setup_.dry_run = true;
  begin();
  join_all();
  EXPECT_EQ(end().code, ExitCode::ok);
  EXPECT_EQ(count(0, Type::configure), 0);
  EXPECT_THAT(script_.told, IsEmpty());
}

TEST_F(CoordinatorTest, RanksHearOfRank0EverySecond) {
  run();
  const int before = count(1, Type::heartbeat);
  live(5, {1, 2});
  EXPECT_EQ(count(1, Type::heartbeat), before + 5);
  EXPECT_EQ(last<wire::Heartbeat>(1, Type::heartbeat).timeout_s, setup_.rank_timeout_s);
  EXPECT_GE(beats_, 5);
}

// --- starting ---------------------------------------------------------------------------------------------------------------

TEST_F(CoordinatorTest, ARankThatNeverJoinsIsNamed) {
  begin();
  join_all(2);
  const Ended ended = end([&] { pass(0.5); });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_THAT(ended.text, HasSubstr("rank 2 did not join within 60 s; raise --start-timeout"));
  EXPECT_NEAR(process_.now_s, 1060.5, 0.6);
  EXPECT_FALSE(dismiss({2}));
  EXPECT_EQ(last<wire::Bye>(1, Type::bye).without_finalize, 1) << "MPI_Finalize would wait for it";
}

TEST_F(CoordinatorTest, ARankWithoutAWorkerIsNamed) {
  begin();
  join_all(2);
  say(2, Type::join, join(2));
  EXPECT_THAT(end([&] { pass(0.5); }).text, HasSubstr("rank 2 did not bring up its worker within 60 s"));
}

TEST_F(CoordinatorTest, AnotherBuildOfTheWorkerIsRefused) {
  begin();
  join_all(1);
  say(1, Type::join, join(1));
  say(1, Type::hello, wire::Hello());
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::usage);
  EXPECT_THAT(ended.text, HasSubstr("rank 1 on b runs another build of mgpu_worker than rank 0"));
}

TEST_F(CoordinatorTest, RankZerosWorkerThatDoesNotComeUpEndsTheRun) {
  begin();
  link_.end = WorkerEnd{"exit code 127", 0};
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "rank 0 on a: its worker ended: exit code 127");
}

TEST_F(CoordinatorTest, ThoseWhoOnlyWaitForTheByeWereNotSilent) {
  nodes({"a", "b"});
  coordinator_.emplace(setup_, *messenger_, link_, MakeWorkload(), std::function<void()>(), std::function<void()>(),
                       process_.process());
  EXPECT_TRUE(dismiss()) << "of a run that did not begin, because its options are wrong";
}

// --- a rank is lost ---------------------------------------------------------------------------------------------------------

TEST_F(CoordinatorTest, LostWhileTheOthersJoin) {
  begin();
  join_all(2);
  round();
  messenger_->dead = {1};
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "rank 1 on b: its agent died");
  EXPECT_TRUE(script_.discarded);
  EXPECT_TRUE(coordinator_->lost_machines());
}

TEST_F(CoordinatorTest, LostBeforeItJoined) {
  begin();
  messenger_->dead = {1};
  EXPECT_EQ(end().text, "rank 1 on unknown host: its agent died");
}

TEST_F(CoordinatorTest, LostWhileTheRunIsPlanned) {
  begin();
  plan();
  messenger_->dead = {1};
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "rank 1 on b: its agent died");
  EXPECT_TRUE(script_.called_off) << "a long reading is not waited for";
  EXPECT_TRUE(script_.discarded);
}

TEST_F(CoordinatorTest, LostWhileItWorks) {
  run();
  messenger_->dead = {1};
  round();
  EXPECT_THAT(script_.told, Contains("lost 1: its agent died (75)"));
  open(1); // late words
  say(1, Type::results);
  const std::size_t told = script_.told.size();
  round();
  EXPECT_EQ(script_.told.size(), told);
  EXPECT_EQ(end_well(1).code, ExitCode::ok);
  EXPECT_FALSE(dismiss({1}));
  EXPECT_EQ(last<wire::Bye>(2, Type::bye).without_finalize, 1);
}

TEST_F(CoordinatorTest, LostAfterTheWork) {
  drain();
  messenger_->dead = {1};
  end_workers(1);
  EXPECT_EQ(end().code, ExitCode::ok) << "its statistics are not waited for";
  EXPECT_THAT(script_.told, Contains("lost 1: its agent died (75, over)"));
}

TEST_F(CoordinatorTest, LostWhileTheFileIsCompleted) {
  finish();
  const std::size_t told = script_.told.size();
  messenger_->dead = {1};
  round();
  EXPECT_EQ(end_well().code, ExitCode::ok);
  EXPECT_EQ(script_.told.size(), told) << "the workload is another thread's";
  EXPECT_FALSE(dismiss({1}));
}

TEST_F(CoordinatorTest, ASilentRankIsLostAndOneThatSpeaksIsNot) {
  run();
  live(24, {2});
  expect_nobody_lost();
  live(3, {2});
  EXPECT_THAT(coordinator_->rank_table().at(1).lost, HasSubstr("nothing heard from it for 2"));
  EXPECT_EQ(coordinator_->rank_table().at(2).lost, "");
  EXPECT_EQ(coordinator_->rank_table().at(0).lost, "");
}

TEST_F(CoordinatorTest, TheStatisticsOfARankAreWaitedForOnlySoLong) {
  drain();
  end_workers(2);
  live(29, {1, 2});
  EXPECT_FALSE(coordinator_->done());
  live(2, {1, 2});
  EXPECT_EQ(end().code, ExitCode::ok);
}

TEST_F(CoordinatorTest, MpirunIsGone) {
  run();
  process_.launcher_gone = true;
  const Ended ended = end([&] { pass(0.5); });
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, HasSubstr("the launcher of rank 0 has ended"));
}

// --- a suspended job --------------------------------------------------------------------------------------------------------

TEST_F(CoordinatorTest, SuspendedWhileTheRanksJoin) {
  begin();
  join_all(2);
  round();
  pass(3600);
  round();
  live(40, {1});
  say(2, Type::join, join(2));
  say_hello(2);
  EXPECT_TRUE(until([&] { return count(2, Type::configure) == 1; }));
}

TEST_F(CoordinatorTest, SuspendedWhileTheyWork) {
  run();
  pass(3600);
  round();
  live(20, {});
  expect_nobody_lost();
  live(10, {2});
  EXPECT_THAT(script_.told, Contains(HasSubstr("lost 1: nothing heard"))) << "afterwards silence counts again";
}

TEST_F(CoordinatorTest, SuspendedAfterTheWork) {
  drain();
  pass(3600);
  round();
  live(20, {1, 2});
  EXPECT_FALSE(coordinator_->done()) << "the statistics are still waited for";
  say(1, Type::stats, wire::Stats{.items = 7});
  end_workers(1);
  EXPECT_EQ(end().code, ExitCode::ok);
  EXPECT_EQ(coordinator_->rank_table().at(1).stats->items, 7U);
}

} // namespace
} // namespace mgpu::agent
