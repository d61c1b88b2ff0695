#include "agent/launch/status.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "mgpu/error.hpp"

namespace mgpu::agent::launch {
namespace {

namespace fs = std::filesystem;

class StatusTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  const fs::path folder_ = fs::path(testing::TempDir()) / ("status_" + std::to_string(getpid()));
  const std::string output_ = (folder_ / "out.h5").string();
};

TEST_F(StatusTest, IsReadAsWritten) {
  EXPECT_FALSE(read_status(output_));
  Status status{"abc", "host", 17, 3, false, 0, false};
  write_status(output_, status, true);
  EXPECT_FALSE(read_status(output_)->done);
  status.beat = 4;
  write_status(output_, status, false);
  EXPECT_EQ(read_status(output_)->beat, 4U);
  status.done = true;
  status.exit_code = 75;
  status.lost_machines = true;
  write_status(output_, status, true);
  const auto read = read_status(output_);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->token, "abc");
  EXPECT_EQ(read->host, "host");
  EXPECT_EQ(read->pid, 17);
  EXPECT_TRUE(read->done && read->lost_machines);
  EXPECT_EQ(read->exit_code, 75);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1); // nothing lies beside it
}

TEST_F(StatusTest, OthersFilesAreNoStatus) {
  for (const std::string text : {"", "{", "[]", "{\"state\": 1}", "{\"state\":\"done\",\"token\":\"\"}"}) {
    std::ofstream(status_path(output_)) << text;
    EXPECT_FALSE(read_status(output_)) << text;
  }
}

TEST_F(StatusTest, SaysWhatCannotBeWritten) {
  EXPECT_THROW(write_status((folder_ / "missing" / "out.h5").string(), {}, true), Error);
}

} // namespace
} // namespace mgpu::agent::launch
