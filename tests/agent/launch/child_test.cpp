// Programs that stand for mpirun.
#include "agent/launch/child.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::launch {
namespace {

int end_of(Child& child, double limit_s = 20) {
  for (const double limit = now_s() + limit_s; now_s() < limit; usleep(1000))
    if (const auto status = child.ended()) return *status;
  ADD_FAILURE() << "still runs";
  return -1;
}

TEST(Child, GivesItsExitCode) {
  Child child({"sh", "-c", "exit 7"}, false);
  const int status = end_of(child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(describe_end(status), "exit code 7");
}

TEST(Child, GetsSignalsAndHasAGroupOfItsOwn) {
  Child child({"sh", "-c", "trap 'exit 9' USR1; kill -USR1 $$; sleep 60 & wait; exit 1"}, false);
  EXPECT_EQ(WEXITSTATUS(end_of(child)), 9);
  Child asleep({"sleep", "60"}, false);
  asleep.signal(SIGTERM);
  EXPECT_EQ(describe_end(end_of(asleep)), "killed by signal 15 (Terminated)");
}

TEST(Child, EndsEvenWhatIgnoresTermAndWhatIsStopped) {
  Child deaf({"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, false);
  usleep(200'000);
  const double begin = now_s();
  deaf.end(0.3);
  EXPECT_EQ(describe_end(end_of(deaf)), "killed by signal 9 (Killed)");
  EXPECT_LT(now_s() - begin, 10);
  Child stopped({"sleep", "60"}, false);
  stopped.signal(SIGSTOP);
  stopped.end(5);
  EXPECT_EQ(describe_end(end_of(stopped)), "killed by signal 15 (Terminated)");
}

TEST(Child, DiesWithItsParent) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t parent = fork();
  if (parent == 0) { // a launcher that is killed
    Child child({"sh", "-c", "echo $$ >&" + std::to_string(ends[1]) + "; exec sleep 60"}, false);
    for (;;) pause();
  }
  char text[16] = {};
  ASSERT_GT(read(ends[0], text, sizeof text - 1), 0);
  const pid_t child = std::atoi(text);
  ASSERT_EQ(kill(child, 0), 0);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  bool gone = false;
  for (const double limit = now_s() + 10; !gone && now_s() < limit; usleep(1000)) gone = kill(child, 0) != 0;
  EXPECT_TRUE(gone);
  close(ends[0]);
  close(ends[1]);
}

TEST(Child, HasNothingToReadUnlessToldSo) {
  Child child({"sh", "-c", "read line && exit 1; exit 0"}, false);
  EXPECT_EQ(WEXITSTATUS(end_of(child)), 0);
}

TEST(Child, SaysWhatCannotBeStarted) {
  EXPECT_THROW(Child({"/no/such/mpirun"}, false), Error);
}

TEST(OutputOf, GivesWhatAProgramPrints) {
  EXPECT_EQ(output_of({"echo", "mpirun (Open MPI) 5.0.10"}), "mpirun (Open MPI) 5.0.10\n");
  EXPECT_THROW(output_of({"/no/such/mpirun"}), Error);
}

} // namespace
} // namespace mgpu::agent::launch
