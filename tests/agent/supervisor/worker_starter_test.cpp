// Workers that are forked by a copy of the first one, and what happens when that copy is of no use.
#include "agent/supervisor/worker_starter.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "agent/supervisor/worker_process.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t ring_bytes = 1 << 16;
constexpr double limit_s = 20;

bool comes(const std::function<bool()>& done) {
  for (const double begin_s = now_s(); now_s() - begin_s < limit_s;) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

std::string name_of(pid_t pid) {
  std::string name;
  std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), name);
  return name;
}

/// Of /proc/PID/stat: the letter, and the parent.
std::pair<char, pid_t> state_and_parent(pid_t pid) {
  std::string rest;
  std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), rest);
  if (rest.empty()) return {'-', 0};
  std::istringstream fields(rest.substr(rest.rfind(')') + 1));
  char state = '-';
  pid_t parent = 0;
  fields >> state >> parent;
  return {state, parent};
}

/// The live fork server below this process, or 0.
pid_t fork_server() {
  for (const auto& each : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(each.path().filename().c_str());
    if (pid <= 0 || name_of(pid) != "mgpu_forks") continue;
    const auto [state, parent] = state_and_parent(pid);
    if (state != 'Z' && (parent == getpid() || state_and_parent(parent).second == getpid())) return pid;
  }
  return 0;
}

/// What a process has open beyond the standard streams and /dev/null: names with inodes.
std::set<std::string> descriptors(pid_t pid) {
  std::set<std::string> found;
  for (const auto& each : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    struct stat facts {};
    const std::string name = fs::read_symlink(each.path()).string();
    const int number = std::atoi(each.path().filename().c_str());
    if (name != "/dev/null" && number > STDOUT_FILENO && ::stat(each.path().c_str(), &facts) == 0)
      found.insert(name + " " + std::to_string(facts.st_ino));
  }
  return found;
}

/// Whether a worker has said hello.
bool speaks(WorkerProcess& worker) {
  bool hello = false;
  return comes([&] {
    worker.poll([&](wire::Type type, wire::View, const std::shared_ptr<void>&) { hello |= type == wire::Type::hello; });
    return hello;
  });
}

class WorkerStarterTest : public testing::Test {
 protected:
  void SetUp() override {
    first_ = std::make_unique<WorkerProcess>(*starter_, ring_bytes);
    ASSERT_TRUE(speaks(*first_));
    ASSERT_TRUE(comes([this] { return starter_->forks(); })) << "no fork server";
    server_ = fork_server();
    ASSERT_GT(server_, 0);
  }
  std::unique_ptr<WorkerStarter> starter_ = std::make_unique<WorkerStarter>(MGPU_FAKE_WORKER);
  std::unique_ptr<WorkerProcess> first_;
  pid_t server_ = 0;
};

TEST_F(WorkerStarterTest, TheNextOneIsForkedAndIsOurChild) {
  WorkerProcess second(*starter_, ring_bytes), third(*starter_, ring_bytes);
  for (WorkerProcess* each : {&second, &third}) {
    EXPECT_TRUE(speaks(*each));
    EXPECT_EQ(state_and_parent(each->pid()).second, getpid());
    EXPECT_EQ(getpgid(each->pid()), each->pid()) << "it shall not get the signals that are meant for us";
  }
  EXPECT_EQ(fork_server(), server_);
  ::kill(second.pid(), SIGKILL);
  std::optional<WorkerEnd> end;
  EXPECT_TRUE(comes([&] { return second.poll([](auto...) {}), (end = second.ended()).has_value(); }));
  EXPECT_TRUE(end && end->text.starts_with("killed by signal 9")) << (end ? end->text : "");
  EXPECT_FALSE(third.ended());
}

TEST_F(WorkerStarterTest, AForkedOneHasNothingOfAnother) {
  WorkerProcess second(*starter_, ring_bytes);
  ASSERT_TRUE(speaks(second));
  std::vector<std::string> common;
  const auto mine = descriptors(first_->pid()), its = descriptors(second.pid());
  std::ranges::set_intersection(mine, its, std::back_inserter(common));
  EXPECT_EQ(common, std::vector<std::string>{});
  EXPECT_EQ(its.size(), 4u) << "socket, ring, activity table, standard error";
  EXPECT_EQ(mine.size(), 4u);
}

TEST_F(WorkerStarterTest, OneIsForkedAfterTheFirstHasGone) {
  first_.reset();
  EXPECT_EQ(fork_server(), server_);
  WorkerProcess second(*starter_, ring_bytes);
  EXPECT_TRUE(speaks(second));
  EXPECT_EQ(fork_server(), server_);
}

TEST_F(WorkerStarterTest, WithoutAForkServerTheProgramIsStarted) {
  ::kill(server_, SIGKILL);
  ASSERT_TRUE(comes([] { return fork_server() == 0; }));
  WorkerProcess second(*starter_, ring_bytes);
  EXPECT_TRUE(speaks(second));
  EXPECT_TRUE(comes([this] { return starter_->forks(); })) << "the new one leaves one, too";
  EXPECT_NE(fork_server(), server_);
}

TEST_F(WorkerStarterTest, OneThatDoesNotAnswerIsGivenUp) {
  ::kill(server_, SIGSTOP);
  {
    WorkerProcess second(*starter_, ring_bytes);
    EXPECT_TRUE(speaks(second));
    ::kill(server_, SIGCONT); // what it makes now, nobody wants: it must not answer in the place of the other
    EXPECT_TRUE(comes([this] { return state_and_parent(server_).first == 'Z' || state_and_parent(server_).first == '-'; }));
    EXPECT_FALSE(second.ended());
  }
}

TEST_F(WorkerStarterTest, TheForkServerGoesWithItsStarter) {
  starter_.reset();
  EXPECT_TRUE(comes([] { return fork_server() == 0; }));
}

} // namespace
} // namespace mgpu::agent
