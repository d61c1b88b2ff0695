// The kernel's count of its out-of-memory kills, in made-up trees of both versions of cgroups.
#include "agent/supervisor/memory_events.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mgpu::agent {
namespace {

namespace fs = std::filesystem;

class MemoryEventsTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  std::optional<MemoryEvents> read() const { return read_memory_events(folder_ / "self", folder_ / "cgroup"); }

  fs::path folder_ = fs::temp_directory_path() / ("mgpu_memory_events_test." + std::to_string(getpid()));
};

TEST_F(MemoryEventsTest, OfVersion2WithTheLeastLimitAbove) {
  write("self", "0::/slurm/job_7/step_0\n");
  write("cgroup/slurm/job_7/step_0/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
  write("cgroup/slurm/job_7/step_0/memory.max", "max\n");
  write("cgroup/slurm/job_7/memory.max", "8589934592\n");
  write("cgroup/slurm/memory.max", "68719476736\n");
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kills, 2u);
  EXPECT_EQ(found->limit_bytes, 8589934592u);
}

TEST_F(MemoryEventsTest, OfVersion1BesideAnEmptyVersion2) {
  write("self", "9:name=systemd:/\n4:cpu,memory:/box/one\n0::/\n");
  write("cgroup/memory/box/one/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
  write("cgroup/memory/box/one/memory.limit_in_bytes", "9223372036854771712\n");
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kills, 5u);
  EXPECT_EQ(found->limit_bytes, 0u);
}

TEST_F(MemoryEventsTest, OfAContainerThatSeesItsOwnAsTheRoot) {
  write("self", "0::/docker/abc\n");
  write("cgroup/memory.events", "oom_kill 1\n");
  write("cgroup/memory.max", "1073741824\n");
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kills, 1u);
  EXPECT_EQ(found->limit_bytes, 1073741824u);
}

TEST_F(MemoryEventsTest, NothingWhereNothingIsCounted) {
  EXPECT_FALSE(read());
  write("self", "nonsense\n0::/\n4:memory:/x\n");
  EXPECT_FALSE(read());
  write("cgroup/memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n"); // kernels before 4.13
  EXPECT_FALSE(read());
  write("cgroup/memory.events", "oom_kill many\n");
  EXPECT_FALSE(read());
}

TEST_F(MemoryEventsTest, WhoItWas) {
  EXPECT_EQ(who_killed(std::nullopt, std::nullopt), "as the kernel does when memory is short");
  EXPECT_EQ(who_killed({{1, 0}}, {{2, 0}}), "by the kernel's out-of-memory killer");
  EXPECT_EQ(who_killed({{1, 0}}, {{2, 1610612736}}), "by the kernel's out-of-memory killer (limit of its cgroup: 1.5 GiB)");
  EXPECT_EQ(who_killed({{2, 0}}, {{2, 0}}), "sent by somebody, not by the kernel's out-of-memory killer");
}

} // namespace
} // namespace mgpu::agent
