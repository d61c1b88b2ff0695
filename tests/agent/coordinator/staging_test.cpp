#include "agent/coordinator/staging.hpp"
#include "common/wire/control_messages.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace mgpu::agent {
namespace {

namespace fs = std::filesystem;

class StagingTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(bundle_ / "inner");
    std::ofstream(bundle_ / "bundle.json") << "{}";
    std::ofstream(folder_ / "weights") << "weights";
    fs::create_symlink(folder_ / "weights", bundle_ / "inner/weights");
  }
  void TearDown() override { fs::remove_all(folder_); }

  static wire::Staged finished(Staging& staging) {
    for (int wait = 0; wait < 3000; ++wait) {
      if (auto staged = staging.poll()) return *staged;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "not staged after 30 s";
    return {};
  }

  const fs::path folder_ = fs::temp_directory_path() / ("mgpu_staging_test_" + std::to_string(getpid()));
  const fs::path bundle_ = folder_ / "bundle";
};

TEST_F(StagingTest, TheCopyIsPrivateAndGoesWithItsOwner) {
  std::string copy;
  {
    Staging staging;
    staging.begin(bundle_.string(), 0);
    const wire::Staged staged = finished(staging);
    ASSERT_EQ(staged.error, "");
    copy = staged.path;
    std::string text;
    std::ifstream(fs::path(copy) / "inner/weights") >> text;
    EXPECT_EQ(text, "weights");
    EXPECT_FALSE(fs::is_symlink(fs::path(copy) / "inner/weights")) << "what a link leads to may change";
    struct stat facts {};
    ASSERT_EQ(stat(fs::path(copy).parent_path().c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0700U);
    EXPECT_EQ(facts.st_uid, geteuid());
    sweep_staged();
    EXPECT_TRUE(fs::exists(copy)) << "its owner lives";
  }
  EXPECT_FALSE(fs::exists(fs::path(copy).parent_path()));
}

TEST_F(StagingTest, WhatDeadAgentsLeftIsSwept) {
  std::string left = "/dev/shm/mgpu-model-0-XXXXXX";
  ASSERT_NE(mkdtemp(left.data()), nullptr);
  std::ofstream(left + "/weights") << "weights";
  const fs::path elsewhere = folder_ / "mine", link = "/dev/shm/mgpu-model-link-" + std::to_string(getpid());
  fs::create_directories(elsewhere);
  fs::create_directory_symlink(elsewhere, link);
  sweep_staged();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(elsewhere)) << "links are not followed";
  fs::remove(link);
}

TEST_F(StagingTest, WhatCannotBeCopiedIsSaid) {
  Staging staging;
  staging.begin((folder_ / "none").string(), 0);
  EXPECT_NE(finished(staging).error, "");
}

} // namespace
} // namespace mgpu::agent
