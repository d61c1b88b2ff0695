#include "agent/setup/checkpoints.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

namespace mgpu::agent {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class CheckpointsTest : public testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_of(std::uint64_t step) const { return folder_ / fmt_step(step); }
  static std::string fmt_step(std::uint64_t step) {
    const std::string digits = std::to_string(step);
    return "step-" + std::string(8 - digits.size(), '0') + digits;
  }
  void save(Checkpoints& checkpoints, std::uint64_t step, int rank) const {
    fs::create_directories(folder_of(step));
    std::ofstream(folder_of(step) / ("rank-000" + std::to_string(rank) + ".part")) << "1234567";
    checkpoints.saved(rank, {step, 1, folder_of(step), 7, rank == 0 ? R"({"step_in_epoch": 3})" : "", ""});
  }
  void save_whole(Checkpoints& checkpoints, std::uint64_t step) const {
    save(checkpoints, step, 1);
    save(checkpoints, step, 0);
    checkpoints.complete(step, {{"signature", "net"}});
  }
  std::string refusal() const {
    try {
      Checkpoints::newest(folder_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
      return error.what();
    }
    return "nothing was refused";
  }
  void write_json(std::uint64_t step, const std::string& text) const {
    std::ofstream(folder_of(step) / "checkpoint.json") << text;
  }

  fs::path folder_ = fs::temp_directory_path() / "mgpu_checkpoints_test";
};

TEST_F(CheckpointsTest, AreWholeWhenEveryRankHasSaved) {
  Checkpoints checkpoints(folder_, 3, 2);
  checkpoints.begin(0);
  save(checkpoints, 4, 1);
  EXPECT_TRUE(checkpoints.ready().empty());
  EXPECT_FALSE(Checkpoints::newest(folder_).has_value());
  save(checkpoints, 4, 0);
  ASSERT_EQ(checkpoints.ready().size(), 1U);
  checkpoints.complete(4, {{"signature", "net"}});
  EXPECT_TRUE(checkpoints.ready().empty());
  const auto newest = Checkpoints::newest(folder_);
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->step, 4U);
  EXPECT_EQ(newest->json.at("signature"), "net");
  EXPECT_EQ(newest->json.at("step_in_epoch"), 3) << "what the worker said";
  EXPECT_EQ(newest->json.at("parts").size(), 2U);
}

TEST_F(CheckpointsTest, TheOldestGo) {
  Checkpoints checkpoints(folder_, 2, 2);
  checkpoints.begin(0);
  for (const std::uint64_t step : {9, 10, 100}) save_whole(checkpoints, step);
  EXPECT_FALSE(fs::exists(folder_of(9)));
  EXPECT_TRUE(fs::exists(folder_of(10)) && fs::exists(folder_of(100)));
}

TEST_F(CheckpointsTest, TheBestStays) {
  Checkpoints checkpoints(folder_, 1, 2);
  checkpoints.begin(0);
  for (const std::uint64_t step : {9, 10, 11}) {
    save(checkpoints, step, 1);
    save(checkpoints, step, 0);
    checkpoints.complete(step, {{"best_step", std::min<std::uint64_t>(step, 10)}});
  }
  EXPECT_FALSE(fs::exists(folder_of(9)));
  EXPECT_TRUE(fs::exists(folder_of(10)) && fs::exists(folder_of(11)));
}

TEST_F(CheckpointsTest, WhatStandsBehindTheBeginningGoes) {
  {
    Checkpoints checkpoints(folder_, 0, 2);
    checkpoints.begin(0);
    for (const std::uint64_t step : {5, 10, 20}) save_whole(checkpoints, step);
    save(checkpoints, 7, 0);
  }
  Checkpoints(folder_, 0, 2).begin(10);
  EXPECT_TRUE(fs::exists(folder_of(5)) && fs::exists(folder_of(10)));
  EXPECT_FALSE(fs::exists(folder_of(7)) || fs::exists(folder_of(20)));
}

TEST_F(CheckpointsTest, DamagedOnesAreRefusedByName) {
  Checkpoints checkpoints(folder_, 0, 2);
  checkpoints.begin(0);
  save_whole(checkpoints, 5);
  fs::resize_file(folder_of(5) / "rank-0001.part", 6);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("step-00000005"), HasSubstr("rank-0001.part is truncated: 6 bytes, not 7")));
  fs::remove(folder_of(5) / "rank-0001.part");
  EXPECT_THAT(refusal(), HasSubstr("rank-0001.part is missing"));
  write_json(5, R"({"schema": "mgpu-checkpoint/2"})");
  EXPECT_THAT(refusal(), HasSubstr("newer version (mgpu-checkpoint/2)"));
  write_json(5, R"({"schema": "something"})");
  EXPECT_THAT(refusal(), HasSubstr("damaged"));
  write_json(5, "{");
  EXPECT_THAT(refusal(), HasSubstr("damaged"));
}

} // namespace
} // namespace mgpu::agent
