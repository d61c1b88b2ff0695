#include "agent/supervisor/effort.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "common/support/clock.hpp"

namespace mgpu::agent {
namespace {

TEST(EffortTest, ComputingIsSeen) {
  const Effort before = effort_of(getpid());
  for (const double end = now_s() + 10; effort_of(getpid()).cpu_s < before.cpu_s + 0.05;) ASSERT_LT(now_s(), end);
}

TEST(EffortTest, SleepingIsNone) {
  const Effort before = effort_of(getpid());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(effort_of(getpid()).cpu_s, before.cpu_s + 0.05);
}

TEST(EffortTest, ReadingIsSeen) {
  const Effort before = effort_of(getpid());
  std::string bytes(2'000'000, '\0');
  std::ifstream("/dev/zero", std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_GE(effort_of(getpid()).io_bytes, before.io_bytes + bytes.size());
}

TEST(EffortTest, AProcessThatIsGoneDoesNothing) {
  EXPECT_EQ(effort_of(1 << 30).cpu_s, 0);
  EXPECT_EQ(effort_of(1 << 30).io_bytes, 0U);
}

} // namespace
} // namespace mgpu::agent
