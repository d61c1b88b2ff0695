#include "agent/supervisor/process_usage.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "common/support/clock.hpp"

namespace mgpu::agent {
namespace {

TEST(ProcessUsageTest, ComputingIsSeen) {
  const ProcessUsage before = usage_of(getpid());
  for (const double end = now_s() + 10; usage_of(getpid()).cpu_s < before.cpu_s + 0.05;) ASSERT_LT(now_s(), end);
}

TEST(ProcessUsageTest, SleepingIsNone) {
  const ProcessUsage before = usage_of(getpid());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(usage_of(getpid()).cpu_s, before.cpu_s + 0.05);
}

TEST(ProcessUsageTest, ReadingIsSeen) {
  const ProcessUsage before = usage_of(getpid());
  std::string bytes(2'000'000, '\0');
  std::ifstream("/dev/zero", std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_GE(usage_of(getpid()).io_bytes, before.io_bytes + bytes.size());
}

TEST(ProcessUsageTest, AProcessThatIsGoneDoesNothing) {
  EXPECT_EQ(usage_of(1 << 30).cpu_s, 0);
  EXPECT_EQ(usage_of(1 << 30).io_bytes, 0U);
}

} // namespace
} // namespace mgpu::agent
