// How a training goes and ends: its file, its checkpoints, the exit code.
#include "agent/training/training_workload.hpp"

#include <csignal>

#include "agent/training/training_rig.hpp"

namespace mgpu::agent {
namespace {

using testing::Each;

TEST_F(TrainingTest, GoesToItsEnd) {
  begin();
  const auto connect = last<wire::Connect>(1, Type::connect);
  EXPECT_EQ(connect.node_of, (std::vector<std::int32_t>{0, 0}));
  EXPECT_EQ(connect.attempt, 1U);
  train(1, 10);
  say(0, Type::metrics, wire::Metrics{10, 2, 0.1, 1, {{"loss", 0.5}, {"accuracy", 0.75}}, {}, {}});
  say(1, Type::skipped, wire::Skipped{{{3, 0, "truncated JPEG"}}});
  save(10);
  train(11, 20);
  EXPECT_EQ(count(1, Type::finish), 1);
  const Ended ended = end_training();
  EXPECT_EQ(ended.code, ExitCode::items_failed);
  EXPECT_EQ(curve(), expected_curve());
  const write::ReadFile file(setup_.output);
  EXPECT_TRUE(file.complete());
  EXPECT_EQ(file.status()[3], Status::failed);
  EXPECT_EQ(file.status()[4], Status::ok);
  EXPECT_TRUE(std::filesystem::exists(checkpoint(10) + "/checkpoint.json"));
  EXPECT_FALSE(std::filesystem::exists(write::History::path_of(output)));
  EXPECT_THAT(said(), AllOf(HasSubstr("validation loss 0.5000, accuracy 75.00 %"), HasSubstr("rank 1: skipped item 3"),
                            HasSubstr("20 steps, 320 samples")));
}

TEST_F(TrainingTest, AnotherNetworkIsRefused) {
  configure();
  open_rank(0);
  open_rank(1, "another net");
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::usage);
  EXPECT_THAT(ended.text, HasSubstr("rank 1 on a opened another network than rank 0 on a"));
  EXPECT_FALSE(std::filesystem::exists(output + ".checkpoints"));
  EXPECT_FALSE(std::filesystem::exists(output + ".partial"));
}

TEST_F(TrainingTest, AFullListIsSentPieceByPiece) {
  configure();
  const auto piece = posted(1).at(2).as<wire::Items>();
  EXPECT_EQ(posted(1).at(2).type, Type::items);
  EXPECT_EQ(piece.total, items);
  EXPECT_EQ(piece.items.at(39).columns.at(0).second, "b");
}

TEST_F(TrainingTest, ARankWhoseNetworkIsSlowGetsItsPieceLater) {
  configure({}, {"a", "a", "a"});
  EXPECT_EQ(count(1, Type::items), 2);
  messenger_->stuck = {1};
  die(1);
  listen();
  for (const int rank : {0, 2}) obey(rank);
  for (const int rank : {0, 1, 2}) say_hello(rank);
  round();
  round();
  EXPECT_EQ(count(1, Type::items), 2);
  EXPECT_EQ(count(2, Type::items), 4);
  messenger_->stuck = {};
  round();
  EXPECT_EQ(count(1, Type::items), 4);
}

TEST_F(TrainingTest, ASignalIsAnsweredByACheckpoint) {
  begin();
  train(1, 6);
  process_.signal = {SIGUSR1, 0, 0};
  round();
  EXPECT_EQ(last<wire::Halt>(1, Type::halt).now, 0);
  train(7, 7);
  save(7);
  const Ended ended = end_training();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal USR1");
  EXPECT_EQ(curve(), expected_curve(7));
  EXPECT_FALSE(write::ReadFile(output).complete());
  EXPECT_THAT(said(), AllOf(HasSubstr("Stopped early: signal USR1. The checkpoint"), HasSubstr("step-00000007\" is kept")));
}

TEST_F(TrainingTest, ASignalWhileTheNetworkIsOpenedLeavesNothing) {
  configure();
  process_.signal = {SIGTERM, 0, 0};
  round();
  const Ended ended = end_training();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_FALSE(std::filesystem::exists(output));
  EXPECT_FALSE(std::filesystem::exists(output + ".partial"));
}

TEST_F(TrainingTest, ASignalAfterAWorkerDiedStopsTheTrainingAllTheSame) {
  begin({"--max-restarts", "0"});
  train(1, 5);
  save(5);
  die(1);
  process_.signal = {SIGTERM, 0, 0};
  pass(0.6);
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal TERM");
}

TEST_F(TrainingTest, ARankThatIsLostAfterASignalDoesNotChangeTheEnd) {
  begin({}, {"a", "a", "a"});
  train(1, 6);
  process_.signal = {SIGTERM, 0, 0};
  round();
  messenger_->dead = {1};
  const Ended ended = end_training({1});
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal TERM");
  EXPECT_EQ(last<wire::Halt>(2, Type::halt).now, 1) << "the others would wait for it";
}

TEST_F(TrainingTest, ARankThatIsLostAfterTheLastStep) {
  begin();
  train(1, 20);
  messenger_->dead = {1};
  const Ended ended = end_training({1});
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "rank 1 on a: its agent died");
}

TEST_F(TrainingTest, ARankThatDoesNotEndIsNamed) {
  begin();
  train(1, 20);
  say(0, Type::stats, wire::Stats());
  const Ended ended = end([&] {
    pass(0.9);
    say(1, Type::heartbeat);
  });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "rank 1 on a: did not end after the last step");
}

TEST_F(TrainingTest, ACheckpointThatCannotBeWrittenEndsTheTraining) {
  begin();
  train(1, 5);
  wire::Saved saved;
  saved.folder = checkpoint(5);
  saved.error = "No space left on device";
  say(1, Type::saved, saved);
  const Ended ended = end_training();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, AllOf(HasSubstr("rank 1 on a: checkpoint "), HasSubstr("No space left on device")));
}

TEST_F(TrainingTest, TooManyItemsThatCannotBeUsedEndTheTraining) {
  begin({"--max-failures", "1"});
  train(1, 5);
  say(1, Type::skipped, wire::Skipped{{{3, 0, "truncated JPEG"}, {5, 1, "truncated JPEG"}}});
  round();
  EXPECT_EQ(last<wire::Halt>(0, Type::halt).now, 0);
  const Ended ended = end_training();
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "2 items could not be used, --max-failures allows 1");
}

TEST_F(TrainingTest, ATrainingOfWhichNothingIsHeardFails) {
  begin();
  train(1, 5);
  const Ended ended = end([&] {
    pass(0.9);
    say(1, Type::heartbeat);
  });
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_THAT(ended.text, HasSubstr("nothing heard of the training for 1 h 00 min"));
}

TEST_F(TrainingTest, TimeOfASuspensionIsNotSilence) {
  begin();
  train(1, 5);
  pass(7200);
  round();
  live(5, {1});
  train(6, 20);
  pass(7200);
  round();
  live(5, {1});
  EXPECT_EQ(end_training().code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
}

} // namespace
} // namespace mgpu::agent
