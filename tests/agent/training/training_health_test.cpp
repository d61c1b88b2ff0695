// GPUs that get hot or fail in a training.
#include "agent/training/training_rig.hpp"

namespace mgpu::agent {
namespace {

using wire::GpuState;

class TrainingHealthTest : public TrainingTest {
 protected:
  void show(int rank, GpuState state, const std::string& reason) {
    wire::Health health;
    health.sample.temperature_c = 60;
    health.state = state;
    health.reason = reason;
    say(rank, Type::health, health);
    round();
  }
  void fail_gpu(int rank) { show(rank, GpuState::drained, "Xid 48 (a double-bit memory error)"); }
};

TEST_F(TrainingHealthTest, HeatIsOnlyToldOf) {
  begin();
  train(1, 5);
  show(1, GpuState::held, "at 90 °C, --max-gpu-temp is 85");
  show(1, GpuState::fine, "at 80 °C");
  train(6, 20);
  EXPECT_EQ(end_training().code, ExitCode::ok);
  EXPECT_THAT(said(),
              AllOf(HasSubstr("warning: rank 1 on a: its GPU  is at 90 °C, --max-gpu-temp is 85; a training does not rest"),
                    HasSubstr("rank 1 on a: its GPU  is at 80 °C")));
  const write::ReadFile file(setup_.output);
  EXPECT_EQ(write::h5::shape_of(write::h5::open_dataset(file.file(), "telemetry")).at(0), 2U);
}

TEST_F(TrainingHealthTest, AGpuThatFailsStopsTheTrainingAtItsLastCheckpoint) {
  begin();
  train(1, 5);
  save(5);
  train(6, 8);
  fail_gpu(1);
  const Ended ended = end([&] { pass(0.4); });
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, AllOf(HasSubstr("rank 1 on a: its GPU"), HasSubstr("Xid 48"), HasSubstr("--resume continues")));
  EXPECT_TRUE(std::filesystem::exists(checkpoint(5)));
}

TEST_F(TrainingHealthTest, WithMinRanksTheOthersGoOnWithoutIt) {
  begin({"--min-ranks", "1"});
  train(1, 5);
  save(5);
  train(6, 8);
  fail_gpu(1);
  EXPECT_EQ(last<wire::Halt>(1, Type::halt).now, 1) << "its worker, which waits for the others, ends";
  EXPECT_THAT(coordinator_->rank_table().at(1).lost, HasSubstr("Xid 48"));
  listen();
  obey(0);
  come_back({0});
  const auto connect = last<wire::Connect>(0, Type::connect);
  EXPECT_EQ(connect.attempt, 2U);
  EXPECT_EQ(connect.checkpoint, checkpoint(5));
  train(6, 20);
  EXPECT_EQ(end_training({1}).code, ExitCode::ok);
  EXPECT_EQ(curve(), expected_curve());
  EXPECT_THAT(said(), HasSubstr("failed: Xid 48"));
}

TEST_F(TrainingHealthTest, MinRanksHoldsForThis) {
  begin({"--min-ranks", "2"});
  train(1, 5);
  fail_gpu(1);
  EXPECT_EQ(end([&] { pass(0.4); }).code, ExitCode::stopped);
}

TEST_F(TrainingHealthTest, AfterTheLastStepItIsTooLateToFail) {
  begin();
  train(1, 20);
  round();
  ASSERT_EQ(count(1, Type::finish), 1);
  fail_gpu(1);
  EXPECT_EQ(end_training().code, ExitCode::ok);
}

} // namespace
} // namespace mgpu::agent
