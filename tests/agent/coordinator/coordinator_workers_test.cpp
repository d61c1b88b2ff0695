// Workers that die, and frames that cannot be read.
#include "agent/coordinator/coordinator_rig.hpp"

namespace mgpu::agent {
namespace {

TEST_F(CoordinatorTest, AMalformedFrameCostsTheRank) {
  run();
  arrive({1, Type::stats, wire::Buffer(3), {}});
  round();
  EXPECT_THAT(script_.told, Contains(HasSubstr("lost 1: it sent what cannot be read")));
  EXPECT_EQ(end_well(1).code, ExitCode::ok);
  EXPECT_TRUE(dismiss()) << "its agent is there";
}

TEST_F(CoordinatorTest, AMalformedFrameOfRankZerosWorker) {
  run();
  arrive({0, Type::opened, wire::Buffer(3), {}});
  round();
  EXPECT_TRUE(link_.killed);
  EXPECT_THAT(script_.told, Contains(HasSubstr("lost 0: it sent what cannot be read")));
}

TEST_F(CoordinatorTest, AMalformedFrameWhileTheFileIsCompleted) {
  finish();
  const std::size_t told = script_.told.size();
  arrive({1, Type::signal, wire::Buffer(3), {}});
  round();
  EXPECT_EQ(script_.told.size(), told) << "the workload is another thread's";
  EXPECT_EQ(end_well().code, ExitCode::ok);
}

TEST_F(CoordinatorTest, AWorkerThatDiesWhileItOpensAgain) {
  run();
  for (int death = 1; death <= 3; ++death) {
    say(1, Type::died, wire::Died{.reason = "killed by signal 11"});
    round();
    EXPECT_EQ(count(1, Type::configure), death) << "until the next is there";
    say_hello(1);
    round();
    EXPECT_EQ(count(1, Type::configure), death + 1);
  }
  open(1);
  round();
  expect_nobody_lost();
  EXPECT_EQ(end_well().code, ExitCode::ok);
}

TEST_F(CoordinatorTest, AWorkerThatIsNotReplacedCostsTheRank) {
  run();
  say(1, Type::died, wire::Died{.reason = "exit code 1"});
  say(1, Type::died, wire::Died{.reason = "killed by signal 9", .retired = 1});
  round();
  EXPECT_THAT(script_.told, Contains("lost 1: its worker died 2 times, the last time: killed by signal 9 (1)"));
  EXPECT_EQ(end_well(1).code, ExitCode::ok);
}

TEST_F(CoordinatorTest, AFailureBeforeTheModelIsOpenIsEverybodysIfItIsTheUsers) {
  begin();
  join_all();
  ASSERT_TRUE(until([&] { return count(2, Type::configure) == 1; }));
  say(1, Type::failure, wire::Failure{1, "CUDA error: out of memory"});
  round();
  EXPECT_THAT(script_.told, Contains("lost 1: CUDA error: out of memory (1)"));
  say(2, Type::failure, wire::Failure{2, "--model net.pt: no network"});
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::usage);
  EXPECT_EQ(ended.text, "--model net.pt: no network");
}

TEST_F(CoordinatorTest, StaggeredRanksOpenOneAfterTheOther) {
  setup_.model_load = ModelLoad::staggered;
  begin({"a", "a", "b"});
  join_all();
  ASSERT_TRUE(until([&] { return count(0, Type::configure) == 1; }));
  EXPECT_EQ(count(1, Type::configure), 0);
  EXPECT_EQ(count(2, Type::configure), 1);
  say(0, Type::died, wire::Died{.reason = "killed by signal 9", .retired = 1});
  round();
  EXPECT_EQ(count(1, Type::configure), 1) << "the one that it waited for is out";
}

TEST_F(CoordinatorTest, WhoWaitsToOpenWhenTheWorkIsOverIsNotConfigured) {
  setup_.model_load = ModelLoad::staggered;
  begin({"a", "a", "b"});
  join_all();
  ASSERT_TRUE(until([&] { return count(0, Type::configure) == 1; }));
  open(2);
  script_.work_over = true; // rank 2 has done it all
  round();
  ASSERT_EQ(count(0, Type::finish), 1);
  open(0);
  round();
  EXPECT_EQ(count(1, Type::configure), 0);
  end_workers(1);
  EXPECT_EQ(end().code, ExitCode::ok) << "and its statistics are not waited for";
}

TEST_F(CoordinatorTest, AModelThatCannotBeStagedWhenTheWorkIsOverCostsNothing) {
  drain();
  say(1, Type::staged, wire::Staged{.error = "no space"});
  EXPECT_EQ(end_well().code, ExitCode::ok);
}

} // namespace
} // namespace mgpu::agent
