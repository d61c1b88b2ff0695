#include "agent/coordinator/status_writer.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "common/support/temporary_folder.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent {
namespace {

class StatusWriterTest : public testing::Test {
 protected:
  StatusWriterTest() { unsetenv(launch::token_variable); }
  ~StatusWriterTest() override { unsetenv(launch::token_variable); }
  bool there() const { return std::filesystem::exists(launch::status_path(output_)); }

  TemporaryFolder folder_{"status_writer_test"};
  std::string output_ = folder_.path() + "/out.h5";
  std::optional<StatusWriter> writer_{std::in_place};
};

TEST_F(StatusWriterTest, TellsHowARunEnded) {
  writer_->begin(output_, "here");
  EXPECT_FALSE(there()) << "a run that could not begin leaves nothing behind";
  writer_->running();
  EXPECT_TRUE(there());
  writer_->done(75, false);
  const auto status = launch::read_status(output_);
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->done);
  EXPECT_EQ(status->exit_code, 75);
  EXPECT_EQ(status->host, "here");
}

TEST_F(StatusWriterTest, UnusableInputLeavesNothingBehindAlsoWhenItIsFoundLate) {
  writer_->begin(output_, "here");
  writer_->running();
  writer_->done(static_cast<int>(ExitCode::usage), false);
  EXPECT_FALSE(there());
}

TEST_F(StatusWriterTest, DoneIsTheLastWordAlsoWhileRanksAreDismissed) {
  writer_->begin(output_, "here");
  writer_->running();
  writer_->done(static_cast<int>(ExitCode::usage), false);
  writer_->beat();
  writer_.reset(); // waits for what was begun
  EXPECT_FALSE(there());
}

TEST_F(StatusWriterTest, ALauncherGetsItsWordInAnyCase) {
  setenv(launch::token_variable, "token", 1);
  writer_->begin(output_, "here");
  writer_->done(static_cast<int>(ExitCode::usage), false);
  const auto status = launch::read_status(output_);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->exit_code, 2);
  EXPECT_EQ(status->token, "token");
}

} // namespace
} // namespace mgpu::agent
