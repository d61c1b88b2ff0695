// Who may write an output, on file systems with and without locks. Two holders in one process are as two processes: each has an open file
// of its own.
#include "agent/write/journal/output_lock.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "agent/write/samples.hpp"

namespace mgpu::agent::write::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Way = OutputLock::Way;

constexpr OutputLock::Options no_flock{.flock = false, .beat = 20ms, .silence = 400ms};
constexpr OutputLock::Options no_locks{.flock = false, .fcntl = false, .beat = 20ms, .silence = 400ms};
const std::vector<OutputLock::Options> ways{{.beat = 20ms, .silence = 400ms}, no_flock, no_locks};

std::string refusal(const std::string& path, const OutputLock::Options& options) {
  try {
    OutputLock::take(path, "output x", {}, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
  return "";
}

std::string why_lost(const OutputLock& lock) {
  try {
    lock.require();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(OutputLock, OneHolderByEachWayAndTheNextWhenItEnds) {
  for (const OutputLock::Options& options : ways) {
    const Folder folder;
    auto lock = OutputLock::take(folder / "lock", "output x", {}, options);
    EXPECT_EQ(lock->way(), options.flock ? Way::flock : options.fcntl ? Way::fcntl : Way::beat);
    EXPECT_THAT(refusal(folder / "lock", options),
                HasSubstr("another run is writing it now (process " + std::to_string(getpid())));
    lock->require();
    lock.reset();
    EXPECT_TRUE(fs::exists(folder / "lock")) << "a name that goes can be locked twice";
    EXPECT_EQ(refusal(folder / "lock", options), "");
  }
}

TEST(OutputLock, AHostWithoutLocksAndOneWithThem) {
  const Folder folder;
  auto beats = OutputLock::take(folder / "lock", "output x", {}, no_locks);
  EXPECT_THAT(refusal(folder / "lock", ways[0]), HasSubstr("another run"));
  beats.reset();
  const auto locks = OutputLock::take(folder / "lock", "output x", {}, ways[0]);
  EXPECT_THAT(refusal(folder / "lock", no_locks), HasSubstr("cannot see"));
}

TEST(OutputLock, WhoDiedWithoutAWordIsSilentAndReplaced) {
  const Folder folder;
  std::ofstream(folder / "lock") << "mgpu_run-lock-1 beat elsewhere 12 abcd 7 held\n";
  EXPECT_EQ(refusal(folder / "lock", no_locks), "");
  std::ofstream(folder / "cut") << "mgpu_ru";
  EXPECT_EQ(refusal(folder / "cut", no_locks), "");
}

/// Each of many takers at once: never two of them.
TEST(OutputLock, ManyAtOnce) {
  for (const OutputLock::Options& options : ways) {
    const Folder folder;
    std::atomic<int> holders{0}, taken{0};
    std::vector<std::thread> takers;
    for (int taker = 0; taker < 6; ++taker)
      takers.emplace_back([&] {
        try {
          const auto lock = OutputLock::take(folder / "lock", "output x", 10s, options);
          if (why_lost(*lock).empty()) {
            EXPECT_EQ(++holders, 1);
            ++taken;
            std::this_thread::sleep_for(5ms);
            --holders;
          }
        } catch (const Error&) { // after 10 s of others
        }
      });
    for (std::thread& taker : takers) taker.join();
    EXPECT_GT(taken, 0);
  }
}

TEST(OutputLock, AHolderWhoseLockIsTakenOrGoneIsTold) {
  const Folder folder;
  const auto beats = OutputLock::take(folder / "beats", "output x", {}, no_locks);
  std::ofstream(folder / "beats", std::ios::in)
      << "mgpu_run-lock-1 beat elsewhere 12 abcd 7 held                                \n";
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (why_lost(*beats).empty() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
  EXPECT_THAT(why_lost(*beats), HasSubstr("another run took the lock"));

  const auto lock = OutputLock::take(folder / "lock", "output x");
  fs::remove(folder / "lock");
  EXPECT_THAT(why_lost(*lock), HasSubstr("removed or replaced"));
}

TEST(OutputLock, WhatIsNoLockOfOursIsLeftAlone) {
  const Folder folder;
  std::ofstream(folder / "precious") << "keep me";
  EXPECT_THAT(refusal(folder / "precious", ways[0]), HasSubstr("not a lock file of mgpu_run"));
  fs::create_symlink(folder / "precious", folder / "link");
  EXPECT_THAT(refusal(folder / "link", ways[0]), HasSubstr("symbolic link"));
  EXPECT_THAT(refusal("/proc/out.h5.lock", ways[0]), HasSubstr("cannot be written"));
  std::ofstream(folder / "two");
  fs::create_hard_link(folder / "two", folder / "names");
  EXPECT_THAT(refusal(folder / "two", ways[0]), HasSubstr("not a lock file"));
  std::string content;
  std::getline(std::ifstream(folder / "precious"), content);
  EXPECT_EQ(content, "keep me");
}

} // namespace
} // namespace mgpu::agent::write::test
