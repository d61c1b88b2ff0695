#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mgpu {
namespace {

namespace fs = std::filesystem;

class TemporaryFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(other_ / "inside");
    if (const char* now = std::getenv("TMPDIR")) before_ = now;
  }
  void TearDown() override {
    if (before_.empty())
      unsetenv("TMPDIR");
    else
      setenv("TMPDIR", before_.c_str(), 1);
    fs::remove_all(other_);
  }
  fs::path other_ = fs::temp_directory_path() / ("mgpu_temporary_folder_test." + std::to_string(getpid()));
  std::string before_;
};

TEST_F(TemporaryFolderTest, GoesWithWhatItHolds) {
  std::string path;
  {
    const TemporaryFolder folder("mgpu_test");
    path = folder.path();
    fs::create_directories(path + "/deep/deeper");
    std::ofstream(path + "/deep/file") << "x";
    fs::create_directory_symlink(other_, path + "/link");
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(other_ / "inside")) << "a link that is no note was followed";
}

TEST_F(TemporaryFolderTest, NotedFoldersGoWithIt) {
  TemporaryFolder folder("mgpu_test");
  setenv("TMPDIR", folder.path().c_str(), 1);
  note_folder_elsewhere(other_);
  folder.remove();
  EXPECT_FALSE(fs::exists(other_));
  EXPECT_FALSE(fs::exists(folder.path())) << "asked twice";
}

TEST_F(TemporaryFolderTest, NotesOfFoldersThatHaveGoneAreNoHindrance) {
  TemporaryFolder folder("mgpu_test");
  setenv("TMPDIR", folder.path().c_str(), 1);
  for (const char* name : {"first", "second", "third"}) { // file systems give a freed inode to the next folder
    fs::remove_all(other_);
    fs::create_directories(other_ / name);
    note_folder_elsewhere(other_ / name);
  }
  folder.remove();
  EXPECT_FALSE(fs::exists(other_ / "third"));
  EXPECT_TRUE(fs::exists(other_));
}

TEST_F(TemporaryFolderTest, AnotherFolderOfTheSameNameStays) {
  TemporaryFolder folder("mgpu_test");
  setenv("TMPDIR", folder.path().c_str(), 1);
  note_folder_elsewhere(other_);
  const fs::path moved = other_.string() + ".moved";
  fs::rename(other_, moved);
  fs::create_directories(other_ / "inside");
  folder.remove();
  EXPECT_TRUE(fs::exists(other_ / "inside"));
  fs::remove_all(moved);
}

TEST_F(TemporaryFolderTest, WhatLiesInTmpdirNeedsNoNote) {
  const TemporaryFolder folder("mgpu_test");
  setenv("TMPDIR", folder.path().c_str(), 1);
  fs::create_directory(folder.path() + "/mine");
  note_folder_elsewhere(folder.path() + "/mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

} // namespace
} // namespace mgpu
