// Signals in each phase of a run.
#include <csignal>

#include "agent/coordinator/coordinator_rig.hpp"

namespace mgpu::agent {
namespace {

TEST_F(CoordinatorTest, ASignalWhileTheRanksJoin) {
  begin();
  round();
  process_.signal = {SIGTERM, 0, 0};
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal TERM received before the work began");
  EXPECT_FALSE(coordinator_->lost_machines());
}

TEST_F(CoordinatorTest, ASignalWhileTheRunIsPlanned) {
  begin();
  plan();
  process_.signal = {SIGUSR1, 0, 0};
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal USR1 received before the work began");
  EXPECT_TRUE(script_.called_off && script_.discarded);
}

TEST_F(CoordinatorTest, ASignalWhileTheyWork) {
  run();
  process_.signal = {SIGUSR1, 0, 0};
  round();
  EXPECT_THAT(script_.told, Contains("stop: signal USR1, 20 s"));
  EXPECT_EQ(count(1, Type::finish), 1);
  end_workers();
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal USR1");
  EXPECT_TRUE(dismiss());
}

TEST_F(CoordinatorTest, MpirunsOwnSignalLeavesNoTime) {
  run();
  process_.signal = {SIGTERM, 1, 0};
  round();
  EXPECT_THAT(script_.told, Contains("stop: signal TERM, 0 s"));
  EXPECT_TRUE(coordinator_->lost_machines());
}

TEST_F(CoordinatorTest, TermLeavesLessTimeThanOtherSignalsWhereTheLauncherKillsSooner) {
  setup_.term_grace_s = 7;
  run();
  process_.signal = {SIGTERM, 0, 0};
  round();
  EXPECT_THAT(script_.told, Contains("stop: signal TERM, 7 s"));
  EXPECT_FALSE(coordinator_->lost_machines()) << "scancel, a time limit, pre-emption";
}

TEST_F(CoordinatorTest, OtherSignalsLeaveTheWholeGrace) {
  setup_.term_grace_s = 7;
  run();
  process_.signal = {SIGUSR2, 0, 0};
  round();
  EXPECT_THAT(script_.told, Contains("stop: signal USR2, 20 s"));
}

TEST_F(CoordinatorTest, ASignalToAnotherRank) {
  run();
  say(2, Type::signal, wire::Signal{SIGTERM, 0, 0});
  round();
  EXPECT_THAT(script_.told, Contains("stop: signal TERM, 20 s"));
}

TEST_F(CoordinatorTest, ASignalAfterTheWorkChangesNothing) {
  drain();
  process_.signal = {SIGTERM, 0, 0};
  round();
  EXPECT_EQ(end_well().code, ExitCode::ok);
}

TEST_F(CoordinatorTest, ASignalWhileTheFileIsCompletedChangesNothing) {
  finish();
  process_.signal = {SIGTERM, 0, 0};
  round();
  EXPECT_EQ(end_well().code, ExitCode::ok);
}

TEST_F(CoordinatorTest, ASecondInterruptEndsTheRunAtOnce) {
  run();
  process_.signal = {SIGINT, 0, 0};
  round();
  process_.signal = {SIGINT, 0, 1};
  EXPECT_THROW(round(), Left);
  EXPECT_TRUE(link_.killed);
  EXPECT_EQ(count(1, Type::bye), 2) << "the second lets it go without the others";
  EXPECT_EQ(last<wire::Bye>(1, Type::bye).without_finalize, 1);
  EXPECT_THAT(said(), HasSubstr("stopped at once; the same command with --resume continues"));
}

TEST_F(CoordinatorTest, ASecondInterruptAtAnotherRank) {
  begin();
  say(1, Type::signal, wire::Signal{SIGINT, 0, 1});
  EXPECT_THROW(round(), Left);
}

} // namespace
} // namespace mgpu::agent
