// What a TERM of the parent process means, by the kind of launcher. Handlers are the process's: each case is a process of its own.
#include "agent/coordinator/signals.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace mgpu::agent {
namespace {

/// The signal that a child of `launcher` has noted after TERM from its parent.
wire::Signal noted_after_term(comm::Launcher launcher) {
  std::array<int, 2> ready{}, told{};
  EXPECT_EQ(pipe(ready.data()) + pipe(told.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    catch_signals(launcher, false);
    char word = 'r';
    [[maybe_unused]] auto written = write(ready[1], &word, 1);
    while (stop_request().number == 0) usleep(1000); // until the handler has run
    const wire::Signal noted = stop_request();
    written = write(told[1], &noted, sizeof noted);
    _exit(0);
  }
  char word = 0;
  EXPECT_EQ(read(ready[0], &word, 1), 1);
  kill(child, SIGTERM);
  wire::Signal noted;
  EXPECT_EQ(read(told[0], &noted, sizeof noted), static_cast<ssize_t>(sizeof noted));
  waitpid(child, nullptr, 0);
  for (const int end : {ready[0], ready[1], told[0], told[1]}) close(end);
  return noted;
}

TEST(Signals, MpirunsTermComesFromTheLauncher) {
  const wire::Signal noted = noted_after_term(comm::Launcher::mpirun);
  EXPECT_EQ(noted.number, SIGTERM);
  EXPECT_EQ(noted.from_launcher, 1);
}

TEST(Signals, SrunsTermIsScancelOrATimeLimit) {
  const wire::Signal noted = noted_after_term(comm::Launcher::srun);
  EXPECT_EQ(noted.number, SIGTERM);
  EXPECT_EQ(noted.from_launcher, 0);
}

TEST(Signals, WithoutALauncherItIsAPersons) {
  EXPECT_EQ(noted_after_term(comm::Launcher::none).from_launcher, 0);
}

} // namespace
} // namespace mgpu::agent
