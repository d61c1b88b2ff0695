// Ends that are not met by another worker: of a GPU, a model, the work.
#include <gmock/gmock.h>

#include <fstream>

#include "agent/supervisor/supervisor_rig.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/node_memory.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {
namespace {

TEST_F(SupervisorTest, AGpuThatCannotBeUsedIsGivenUpAtOnceAndLeftOut) {
  open(2, 0, "GPU-1234");
  trouble_ = "nvmlDeviceGetMemoryInfo: GPU is lost";
  worker().end = "killed by signal 9 (Killed)";
  poll();
  ASSERT_EQ(died_.size(), 1U);
  EXPECT_EQ(died_[0].retired, 1);
  EXPECT_THAT(died_[0].reason, HasSubstr("GPU is lost"));
  const auto bad = BadDevices(bad_path_).read(unix_now_s() + 3600);
  ASSERT_EQ(bad.size(), 1U);
  EXPECT_EQ(bad[0].uuid, "GPU-1234");
}

TEST_F(SupervisorTest, AGpuIsNotBlamedForWhatAnItemDid) {
  open(1, 0, "GPU-1234");
  for (int death = 0; death < 2; ++death) {
    worker().end = "killed by signal 11 (Segmentation fault)";
    poll();
  }
  EXPECT_EQ(died_.back().retired, 1);
  EXPECT_TRUE(BadDevices(bad_path_).read(0).empty());
}

TEST_F(SupervisorTest, NamesOfSharedMemoryAreRemovedWithTheWorker) {
  open();
  wire::Connect connect;
  connect.token = "supervisor-test-" + std::to_string(getpid());
  connect.node_of = {0, 3};
  const std::string path = wire::node_memory_path(connect.token, 0);
  const auto create = [&] {
    wire::Buffer bytes;
    wire::encode(connect, bytes);
    supervisor_.post(Type::connect, bytes);
    std::ofstream(path) << "as a worker leaves it";
  };
  create();
  EXPECT_TRUE(std::filesystem::exists(path)) << "the workers are connecting";
  worker().end = "killed by signal 9 (Killed)";
  poll();
  EXPECT_FALSE(std::filesystem::exists(path)) << "the worker died";
  configure(2);
  create();
  connect.token += "-2";
  wire::Buffer bytes;
  wire::encode(connect, bytes);
  supervisor_.post(Type::connect, bytes);
  EXPECT_FALSE(std::filesystem::exists(path)) << "the training restarted";
}

TEST_F(SupervisorTest, AResultMakesItANewRow) {
  open(1);
  for (int death = 1; death <= 5; ++death) {
    worker().end = "exit code 7";
    poll();
    configure(1);
    worker().say(Type::opened, wire::Opened{});
    worker().say_result();
    poll();
    ASSERT_EQ(died_.back().retired, 0) << death;
  }
}

TEST_F(SupervisorTest, AModelThatCannotBeOpenedEndsTheRun) {
  configure(5);
  worker().say(Type::failure, wire::Failure{2, "no such model"});
  worker().end = "exit code 2";
  poll();
  EXPECT_THAT(seen_, testing::Contains(Type::failure));
  EXPECT_TRUE(died_.empty());
  EXPECT_EQ(supervisor_.ended().value().text, "exit code 2");
}

TEST_F(SupervisorTest, WithoutRestartsAnEndIsTheEnd) {
  open(0);
  worker().end = "killed by signal 9 (Killed)";
  poll();
  EXPECT_TRUE(died_.empty());
  EXPECT_EQ(supervisor_.ended().value().text, "killed by signal 9 (Killed)");
}

TEST_F(SupervisorTest, AfterTheWorkAnEndIsTheEnd) {
  open();
  supervisor_.post(Type::finish);
  worker().end = "";
  poll();
  EXPECT_TRUE(died_.empty());
  EXPECT_EQ(supervisor_.ended().value().text, "");
  EXPECT_EQ(workers_.size(), 1U);
}

} // namespace
} // namespace mgpu::agent
