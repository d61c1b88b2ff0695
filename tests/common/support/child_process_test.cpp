#include "common/support/child_process.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <functional>

namespace mgpu {
namespace {

constexpr double long_s = 30;

/// A child that does `work` in a process group of its own and exits with what it gives.
ChildProcess begin(const std::function<int()>& work) {
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    alarm(60);
    _exit(work());
  }
  setpgid(pid, pid);
  return ChildProcess(pid);
}

int sleep_for_ever() {
  while (true) pause();
}

TEST(ChildProcess, TellsTheExitCode) {
  ChildProcess child = begin([] { return 7; });
  ASSERT_TRUE(child.wait(long_s));
  EXPECT_EQ(describe_end(*child.ended()), "exit code 7");
  EXPECT_EQ(child.ended(), child.ended()); // also when the kernel has forgotten it
}

TEST(ChildProcess, TellsTheSignal) {
  ChildProcess child = begin(sleep_for_ever);
  EXPECT_FALSE(child.ended());
  child.signal(SIGKILL);
  ASSERT_TRUE(child.wait(long_s));
  EXPECT_EQ(describe_end(*child.ended()), "killed by signal 9 (Killed)");
  EXPECT_EQ(describe_end(*child.ended(), "by its memory limit"), "killed by signal 9 (Killed, by its memory limit)");
}

TEST(ChildProcess, WaitingHasAnEnd) {
  ChildProcess child = begin(sleep_for_ever);
  EXPECT_FALSE(child.wait(0));
  EXPECT_FALSE(child.wait(0.01));
  child.signal(SIGKILL);
  EXPECT_TRUE(child.wait(long_s));
}

TEST(ChildProcess, AGroupEndsWithIt) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ChildProcess child = begin([&] {
    close(ends[0]);
    if (fork() == 0) sleep_for_ever(); // holds the writing end open as long as it lives
    return sleep_for_ever();
  });
  close(ends[1]);
  child.signal_group(SIGKILL);
  EXPECT_TRUE(child.wait(long_s));
  char nothing = 0;
  EXPECT_EQ(read(ends[0], &nothing, 1), 0);
  close(ends[0]);
}

TEST(ChildProcess, NoSignalGoesToWhoHasItsNumberLater) {
  ChildProcess child = begin([] { return 0; });
  ASSERT_TRUE(child.wait(long_s));
  child.signal(SIGKILL); // to nobody; kill() of a number that is free would fail, of one in use would strike another
  child.signal_group(SIGKILL);
  EXPECT_EQ(describe_end(*child.ended()), "exit code 0");
}

} // namespace
} // namespace mgpu
