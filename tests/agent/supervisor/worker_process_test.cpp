// The worker as a child process: here a shell script stands for it.
#include "agent/supervisor/worker_process.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <thread>

#include "agent/cli/job_list.hpp"
#include "mgpu/error.hpp"

namespace mgpu {
/// What mgpu_add_program() generates for a program; find_program() asks for the one, what is linked beside it for the other.
std::string_view worker_name() {
  return "worker.sh";
}
std::span<const JobEntry> job_list() {
  return {};
}
} // namespace mgpu

namespace mgpu::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t ring_bytes = 1 << 16;
constexpr int longest_wait_ms = 10'000;

/// TMPDIR is a folder of this test's own while it runs.
class WorkerProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(place_);
    if (const char* now = std::getenv("TMPDIR")) before_ = now;
    setenv("TMPDIR", place_.c_str(), 1);
  }
  void TearDown() override {
    if (before_.empty())
      unsetenv("TMPDIR");
    else
      setenv("TMPDIR", before_.c_str(), 1);
    fs::remove_all(folder_);
  }

  std::string script(const std::string& body) {
    const fs::path path = folder_ / "worker.sh";
    std::ofstream(path) << "#!/bin/sh\n" << body;
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  static bool appears(const fs::path& path) {
    for (int waited_ms = 0; waited_ms < longest_wait_ms; waited_ms += 5) {
      if (fs::exists(path)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(place_), fs::directory_iterator()));
  }

  fs::path folder_ = fs::temp_directory_path() / ("mgpu_worker_process_test." + std::to_string(getpid()));
  fs::path place_ = folder_ / "tmp";
  std::string before_;
};

TEST_F(WorkerProcessTest, WhatAWorkerLeavesInItsTmpdirGoesEvenWhenItIsKilled) {
  std::ofstream(folder_ / "kept") << "not the worker's";
  std::ofstream(place_ / "neighbour") << "another's";
  const std::string program =
      script("mkdir \"$TMPDIR/unpacked\"\necho x > \"$TMPDIR/unpacked/model.so\"\nln -s '" + folder_.string() +
             "' \"$TMPDIR/link\"\ntouch '" + (folder_ / "ready").string() + "'\nexec sleep 60\n");
  {
    WorkerStarter starter(program);
    const WorkerProcess worker(starter, ring_bytes);
    ASSERT_TRUE(appears(folder_ / "ready"));
    ASSERT_EQ(entries(), 2u);
    ::kill(worker.pid(), SIGKILL);
  }
  EXPECT_EQ(entries(), 1u);
  EXPECT_TRUE(fs::exists(place_ / "neighbour"));
  EXPECT_TRUE(fs::exists(folder_ / "kept")) << "a link was followed";
}

TEST_F(WorkerProcessTest, EndIsForThoseWhoLeaveWithoutDestructors) {
  WorkerStarter starter(script("exec sleep 60\n"));
  WorkerProcess worker(starter, ring_bytes);
  EXPECT_EQ(entries(), 1u);
  worker.end();
  EXPECT_EQ(entries(), 0u);
  EXPECT_EQ(::kill(worker.pid(), 0), -1) << "the worker still lives";
  EXPECT_TRUE(worker.ended());
}

TEST_F(WorkerProcessTest, TwoWorkersHaveFoldersOfTheirOwn) {
  WorkerStarter starter(script("exec sleep 60\n"));
  const WorkerProcess one(starter, ring_bytes), two(starter, ring_bytes);
  EXPECT_EQ(entries(), 2u);
}

TEST_F(WorkerProcessTest, AProgramThatCannotStartLeavesNothing) {
  WorkerStarter starter(folder_ / "no such program");
  EXPECT_THROW(WorkerProcess(starter, ring_bytes), Error);
  EXPECT_EQ(entries(), 0u);
}

TEST_F(WorkerProcessTest, AMissingTmpdirIsNamed) {
  setenv("TMPDIR", (folder_ / "nowhere").c_str(), 1);
  try {
    WorkerStarter starter(script("exit 0\n"));
    WorkerProcess worker(starter, ring_bytes);
    FAIL() << "started";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("nowhere"), std::string::npos) << error.what();
  }
}

} // namespace
} // namespace mgpu::agent
