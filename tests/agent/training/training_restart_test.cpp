// Workers and ranks that are lost in a training: who restarts, from where, how often, and who is to blame.
#include "agent/training/training_rig.hpp"

namespace mgpu::agent {
namespace {

using wire::FailureCause;

TEST_F(TrainingTest, AllRestartFromTheLastCheckpoint) {
  begin();
  train(1, 5);
  save(5);
  train(6, 8);
  die(1);
  EXPECT_EQ(count(0, Type::halt), 0) << "others may still say what they miss";
  listen();
  EXPECT_EQ(last<wire::Halt>(0, Type::halt).now, 1);
  EXPECT_EQ(count(1, Type::halt), 0) << "it is dead";
  train(9, 9); // late words
  obey(0);
  come_back({0, 1});
  const auto connect = last<wire::Connect>(1, Type::connect);
  EXPECT_EQ(connect.attempt, 2U);
  EXPECT_EQ(connect.checkpoint, checkpoint(5));
  EXPECT_EQ(count(1, Type::items), 4) << "the list is sent to the new workers, too";
  train(6, 20);
  const Ended ended = end_training();
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
  EXPECT_THAT(said(), HasSubstr("rank 1 on a: killed by signal 9 (Killed); all workers restart from step 5, "));
}

TEST_F(TrainingTest, SeveralNodesRestartAsOne) {
  begin({}, {"a", "b"});
  train(1, 4);
  die_and_restart();
  EXPECT_EQ(last<wire::Connect>(0, Type::connect).attempt, 2U);
  EXPECT_THAT(last<wire::Connect>(0, Type::connect).node_of, testing::ElementsAre(0, 1));
  train(1, 20);
  EXPECT_EQ(end_training().code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
}

TEST_F(TrainingTest, NobodyCanSumForANodeWhoseFirstRankIsOut) {
  begin({"--min-ranks", "1"}, {"a", "b"});
  train(1, 3);
  say(1, Type::failure, wire::Failure{1, "its worker ended: exit code 1", FailureCause::exit});
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "rank 1 on b: its worker ended: exit code 1");
}

TEST_F(TrainingTest, WithoutACheckpointTheyBeginAtTheBeginning) {
  begin();
  train(1, 4);
  die_and_restart();
  EXPECT_EQ(last<wire::Connect>(0, Type::connect).checkpoint, "");
  train(1, 20);
  EXPECT_EQ(end_training().code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
  EXPECT_THAT(said(), HasSubstr("all workers restart at the beginning"));
}

TEST_F(TrainingTest, ButOnlySoOften) {
  begin({"--max-restarts", "2"});
  train(1, 5);
  save(5);
  for (std::uint32_t attempt = 2; attempt <= 3; ++attempt) {
    die_and_restart();
    EXPECT_EQ(last<wire::Connect>(0, Type::connect).attempt, attempt);
    train(6, 7);
  }
  die(1);
  const Ended ended = end([&] {
    pass(0.4);
    say(1, Type::heartbeat);
  });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "rank 1 on a: killed by signal 9 (Killed)");
  EXPECT_TRUE(std::filesystem::exists(checkpoint(5))) << "--resume continues";
}

TEST_F(TrainingTest, ACheckpointCountsAnew) {
  begin({"--max-restarts", "1"});
  for (const std::uint64_t step : {4U, 8U, 12U}) {
    train(step - 3, step);
    save(step);
    die_and_restart();
    EXPECT_EQ(last<wire::Connect>(1, Type::connect).checkpoint, checkpoint(step));
  }
  train(13, 20);
  EXPECT_EQ(end_training().code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
}

TEST_F(TrainingTest, WithoutRestartsTheFirstDeathEndsTheTraining) {
  begin({"--max-restarts", "0"});
  train(1, 3);
  say(1, Type::failure, wire::Failure{1, "its worker ended: exit code 1", FailureCause::exit});
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "rank 1 on a: its worker ended: exit code 1");
}

TEST_F(TrainingTest, AWorkerThatDiesWhileItOpensAgain) {
  begin();
  train(1, 5);
  save(5);
  die(1);
  listen();
  obey(0);
  for (const int rank : {0, 1}) say_hello(rank);
  round();
  open_rank(0);
  die(1, "killed by signal 11");
  listen();
  obey(0);
  come_back({0, 1});
  EXPECT_EQ(last<wire::Connect>(0, Type::connect).attempt, 3U);
  EXPECT_EQ(count(0, Type::connect), 2) << "the second time there was nothing to connect";
  train(6, 20);
  EXPECT_EQ(end_training().code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
}

TEST_F(TrainingTest, WhoWasKilledIsToBlameNotWhoMissesIt) {
  begin({"--max-restarts", "0"});
  train(1, 3);
  die(0, "NCCL: rank 1 is missing", FailureCause::collective);
  die(1, "killed by signal 9 (Killed)");
  EXPECT_EQ(end([&] { pass(0.4); }).text, "rank 1 on a: killed by signal 9 (Killed)");
}

TEST_F(TrainingTest, WhatAWorkerReportsWouldHappenAgain) {
  begin();
  train(1, 3);
  die(1, "the loss has no gradient", FailureCause::other);
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "rank 1 on a: the loss has no gradient");
}

TEST_F(TrainingTest, ButNotWhereTheDeviceIsTheCause) {
  begin();
  train(1, 3);
  die(1, "CUDA error: an illegal memory access", FailureCause::device);
  listen();
  EXPECT_EQ(last<wire::Halt>(0, Type::halt).now, 1);
  obey(0);
  come_back({0, 1});
  EXPECT_EQ(last<wire::Connect>(0, Type::connect).attempt, 2U);
}

TEST_F(TrainingTest, AnItemThatEndsItsWorkersIsGivenUp) {
  begin({"--retries", "1", "--max-restarts", "1"});
  train(1, 3);
  for (int death = 1; death <= 2; ++death) {
    wire::Died died{.reason = "killed by signal 11 while preparing item 7", .cause = FailureCause::signal};
    died.certain = 1;
    died.suspects = {{0, 7, 1, 0}};
    say(1, Type::died, died);
    round();
    listen();
    obey(0);
    come_back({0, 1});
  }
  std::vector<wire::SkippedItem> given_up;
  for (const Frame& frame : posted(1))
    if (frame.type == Type::items) {
      const auto piece = frame.as<wire::Items>();
      if (piece.part == 0) given_up = piece.given_up;
    }
  ASSERT_EQ(given_up.size(), 1U);
  EXPECT_EQ(given_up[0].index, 7U);
  EXPECT_EQ(given_up[0].reason, "2 worker(s) died over it; the last on rank 1 (a): killed by signal 11 while preparing item 7");
}

// --- ranks ------------------------------------------------------------------------------------------------------------------

TEST_F(TrainingTest, ALostRankEndsTheTraining) {
  begin({}, {"a", "a", "a"});
  train(1, 5);
  save(5);
  messenger_->dead = {1};
  const Ended ended = end([&] {
    pass(0.4);
    say(2, Type::heartbeat);
  });
  EXPECT_EQ(ended.code, ExitCode::stopped) << "nothing is wrong with the job: launch goes on";
  EXPECT_EQ(ended.text, "rank 1 on a: its agent died");
}

TEST_F(TrainingTest, WithMinRanksTheOthersGoOn) {
  begin({"--min-ranks", "2"}, {"a", "a", "a"});
  train(1, 5);
  save(5);
  train(6, 7);
  messenger_->dead = {1};
  listen();
  obey(0);
  obey(2);
  come_back({0, 2});
  EXPECT_EQ(last<wire::Configure>(2, Type::configure).rank, 1) << "numbered anew";
  EXPECT_EQ(last<wire::Configure>(2, Type::configure).world_size, 2);
  EXPECT_EQ(last<wire::Connect>(2, Type::connect).checkpoint, checkpoint(5));
  EXPECT_EQ(last<wire::Connect>(2, Type::connect).hosts.size(), 2U);
  train(6, 10);
  save_part(0, 10, 0);
  save_part(2, 10, 1);
  round();
  EXPECT_TRUE(std::filesystem::exists(checkpoint(10) + "/checkpoint.json"));
  train(11, 20);
  EXPECT_EQ(end_training({1}).code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
  EXPECT_THAT(said(), HasSubstr("2 rank(s) continue, the global batch of 24 stays"));
}

TEST_F(TrainingTest, TooFewDoNot) {
  begin({"--min-ranks", "2"}, {"a", "a"});
  train(1, 5);
  messenger_->dead = {1};
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "rank 1 on a: its agent died");
}

TEST_F(TrainingTest, WithMinRanksARankWhoseWorkersDieIsLeftOut) {
  begin({"--min-ranks", "1", "--max-restarts", "1"}, {"a", "a", "a"});
  train(1, 3);
  die(1);
  listen();
  obey(0);
  obey(2);
  come_back({0, 1, 2});
  ASSERT_EQ(last<wire::Connect>(0, Type::connect).attempt, 2U);
  die(1);
  listen();
  EXPECT_EQ(coordinator_->rank_table().at(1).lost, "its worker died 2 times: killed by signal 9 (Killed)");
  obey(0);
  obey(2);
  come_back({0, 2});
  EXPECT_EQ(last<wire::Connect>(0, Type::connect).hosts.size(), 2U);
  train(1, 20);
  EXPECT_EQ(end_training({1}).code, ExitCode::ok);
}

TEST_F(TrainingTest, AMalformedFrameCostsTheRankNotTheTraining) {
  begin({"--min-ranks", "1"});
  train(1, 5);
  save(5);
  arrive({1, Type::skipped, wire::Buffer(3), {}});
  round();
  EXPECT_THAT(coordinator_->rank_table().at(1).lost, HasSubstr("it sent what cannot be read"));
  listen();
  obey(0);
  come_back({0});
  train(6, 20);
  EXPECT_EQ(end_training({1}).code, ExitCode::ok);
}

TEST_F(TrainingTest, AnItemThatThereIsNotCostsTheRankThatNamesIt) {
  begin({"--min-ranks", "1"});
  train(1, 5);
  save(5);
  say(1, Type::skipped, wire::Skipped{{{items, 0, "damaged"}}});
  round();
  EXPECT_THAT(coordinator_->rank_table().at(1).lost, HasSubstr("skipped item 40 of 40"));
  listen();
  obey(0);
  come_back({0});
  train(6, 20);
  EXPECT_EQ(end_training({1}).code, ExitCode::ok);
}

TEST_F(TrainingTest, StepsBeforeTheTrainingBeganAreMalformed) {
  configure();
  open_rank(0);
  train(1, 1);
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_THAT(ended.text, HasSubstr("rank 0 on a: it sent what cannot be read: it speaks of steps before"));
}

} // namespace
} // namespace mgpu::agent
