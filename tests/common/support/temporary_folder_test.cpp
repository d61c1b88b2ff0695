#include "common/support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
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

/// What a process leaves that is killed: the path of its folder, which has a note of `noted`.
std::string left_by_a_killed_process(const fs::path& noted) {
  int ends[2];
  if (pipe(ends) != 0) return "";
  const pid_t child = fork();
  if (child == 0) {
    const TemporaryFolder folder("mgpu_test");
    setenv("TMPDIR", folder.path().c_str(), 1);
    note_folder_elsewhere(noted);
    [[maybe_unused]] const auto said = write(ends[1], folder.path().data(), folder.path().size());
    kill(getpid(), SIGKILL);
  }
  char path[4096];
  close(ends[1]);
  const ssize_t size = read(ends[0], path, sizeof path);
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return {path, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

void make_old(const std::string& path) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
}

TEST_F(TemporaryFolderTest, WhatAKilledProcessLeftGoesWithTheNextRun) {
  const fs::path place = other_ / "tmp";
  fs::create_directory(place);
  setenv("TMPDIR", place.c_str(), 1);
  const TemporaryFolder living("mgpu_test"), of_another_kind("mgpu_other");
  const std::string left = left_by_a_killed_process(other_ / "inside"), young = left_by_a_killed_process(other_);
  const std::string begin = left.substr(0, left.size() - 6);
  const std::string link = begin + "a_link", file = begin + "a_file";
  fs::create_directory_symlink(other_, link);
  std::ofstream(file) << "x";
  for (const std::string& path : {left, living.path(), of_another_kind.path()}) make_old(path);
  {
    const TemporaryFolder next("mgpu_test");
    EXPECT_FALSE(fs::exists(left));
    EXPECT_FALSE(fs::exists(other_ / "inside")) << "noted by the process that was killed";
    EXPECT_TRUE(fs::exists(living.path()) && fs::exists(of_another_kind.path()));
    EXPECT_TRUE(fs::exists(young)) << "may not be locked yet";
    EXPECT_TRUE(fs::is_symlink(link) && fs::exists(file));
  }
  EXPECT_TRUE(fs::exists(place));
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
