#include "agent/gpu_health/gpu_monitor.hpp"

#include <gmock/gmock.h>

#include "agent/gpu_health/gpu_memory.hpp"
#include "agent/gpu_health/health_reporter.hpp"
#include "agent/gpu_health/nvml.hpp"
#include "agent/gpu_health/scripted_probe.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::gpu_health {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <typename Done>
bool wait_for(Done done) {
  for (const double limit = now_s() + 10; now_s() < limit; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
    if (done()) return true;
  return false;
}

class GpuMonitorTest : public testing::Test {
 protected:
  ~GpuMonitorTest() override { script_->hangs = false; }
  GpuMonitor::OpenProbe open() const {
    return [script = script_] { return open_scripted(script); };
  }
  std::shared_ptr<GpuScript> script_ = std::make_shared<GpuScript>();
};

TEST_F(GpuMonitorTest, TakesSamplesAtItsInterval) {
  GpuMonitor monitor(open(), 0.02);
  std::vector<Observation> seen;
  ASSERT_TRUE(wait_for([&] {
    for (Observation& each : monitor.take()) seen.push_back(std::move(each));
    return seen.size() >= 3;
  }));
  EXPECT_EQ(seen[2].sample->temperature_c, 40);
  EXPECT_EQ(seen[2].lost, "");
}

TEST_F(GpuMonitorTest, AnXidIsTold) {
  GpuMonitor monitor(open(), 3600);
  ASSERT_TRUE(wait_for([&] { return !monitor.take().empty(); })) << "the first sample comes at once";
  script_->strike(79);
  std::vector<Observation> seen;
  ASSERT_TRUE(wait_for([&] { return !(seen = monitor.take()).empty(); }));
  EXPECT_FALSE(seen[0].sample);
  EXPECT_THAT(seen[0].xids, ElementsAre(79U));
}

/// The call after an Xid may hang of what the Xid was about.
TEST_F(GpuMonitorTest, AnXidIsToldThoughTheNextCallHangs) {
  GpuMonitor monitor(open(), 0.02);
  ASSERT_TRUE(wait_for([&] { return !monitor.take().empty(); }));
  script_->hangs = true;
  script_->strike(79);
  std::vector<std::uint32_t> xids;
  ASSERT_TRUE(wait_for([&] {
    for (const Observation& each : monitor.take()) xids.insert(xids.end(), each.xids.begin(), each.xids.end());
    return !xids.empty();
  }));
  EXPECT_THAT(xids, ElementsAre(79U));
}

TEST_F(GpuMonitorTest, ACallThatHangsIsSeenAndNobodyWaitsForIt) {
  script_->hangs = true;
  double began_s = 0;
  {
    GpuMonitor monitor(open(), 0.02);
    ASSERT_TRUE(wait_for([&] { return monitor.open_call() == 1; }));
    EXPECT_TRUE(nvml_is_in_use());
    began_s = now_s();
    EXPECT_THAT(monitor.take(), IsEmpty());
  }
  EXPECT_LT(now_s() - began_s, 1) << "the thread is left behind";
  EXPECT_TRUE(nvml_is_in_use());
  script_->hangs = false;
  EXPECT_TRUE(wait_for([] { return !nvml_is_in_use(); }));
}

TEST_F(GpuMonitorTest, AThreadThatSleepsEndsWithItsOwner) {
  {
    GpuMonitor monitor(open(), 3600);
    wait_for([&] { return script_->samples > 0; });
  }
  EXPECT_TRUE(wait_for([] { return !nvml_is_in_use(); }));
  EXPECT_EQ(script_.use_count(), 1);
}

TEST_F(GpuMonitorTest, WithoutAGpuThereIsNothingToSee) {
  script_->no_gpu = true;
  GpuMonitor monitor(open(), 0.01);
  EXPECT_TRUE(wait_for([] { return !nvml_is_in_use(); }));
  EXPECT_THAT(monitor.take(), IsEmpty());
  EXPECT_EQ(monitor.open_call(), 0U);
}

TEST_F(GpuMonitorTest, NoXidIsLostWhileNobodyAsks) {
  GpuMonitor monitor(open(), 0.001);
  script_->strike(48);
  ASSERT_TRUE(wait_for([&] { return script_->samples > 200; }));
  std::vector<std::uint32_t> xids;
  std::size_t count = 0;
  for (const Observation& each : monitor.take()) {
    xids.insert(xids.end(), each.xids.begin(), each.xids.end());
    ++count;
  }
  EXPECT_THAT(xids, ElementsAre(48U));
  EXPECT_LE(count, 64U) << "memory does not grow";
}

class HealthReporterTest : public GpuMonitorTest {
 protected:
  /// The next message, at a clock of the test's own.
  std::optional<wire::Health> next(HealthReporter& reporter, double step_s = 0.2) {
    std::optional<wire::Health> health;
    wait_for([&] { return (health = reporter.poll(now_ += step_s)).has_value(); });
    return health;
  }
  double now_ = 1000;
};

TEST_F(HealthReporterTest, TellsSamplesAndStates) {
  HealthReporter reporter(open(), 0.01, {85});
  EXPECT_EQ(next(reporter)->sample.temperature_c, 40);
  script_->temperature_c = 90;
  std::optional<wire::Health> health;
  ASSERT_TRUE(wait_for([&] { return (health = next(reporter))->state == wire::GpuState::held; }));
  EXPECT_THAT(health->reason, HasSubstr("90 °C"));
  script_->strike(79);
  ASSERT_TRUE(wait_for([&] { return (health = next(reporter))->state == wire::GpuState::drained; }));
  EXPECT_THAT(health->xids, ElementsAre(79U));
}

TEST_F(HealthReporterTest, TellsOnceThatTheDriverDoesNotAnswer) {
  script_->hangs = true;
  HealthReporter reporter(open(), 0.01, {});
  std::vector<wire::Health> told;
  const auto poll_for = [&](double seconds) {
    for (const double end = now_ + seconds; now_ < end; std::this_thread::sleep_for(std::chrono::microseconds(100)))
      if (auto health = reporter.poll(now_ += 0.5)) told.push_back(*health);
  };
  poll_for(28);
  EXPECT_THAT(told, IsEmpty());
  now_ += 3600; // the job was suspended: it counts for a second
  poll_for(1);
  EXPECT_THAT(told, IsEmpty());
  poll_for(100);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].state, wire::GpuState::fine);
  EXPECT_THAT(told[0].warnings, ElementsAre(HasSubstr("has not answered for 3")));
  script_->hangs = false;
  EXPECT_EQ(next(reporter)->sample.temperature_c, 40) << "and then it does";
}

TEST(Nvml, WithoutADriverThereIsNothingToSay) {
  EXPECT_EQ(probe_device(""), "");
  EXPECT_EQ(probe_device("GPU-none"), "");
}

TEST(Nvml, WorkThatHangsIsLeftBehind) {
  const auto script = std::make_shared<GpuScript>();
  EXPECT_TRUE(within_limit(10, [script] { script->wait(); }));
  script->hangs = true;
  const double began_s = now_s();
  EXPECT_FALSE(within_limit(0.05, [script] { script->wait(); }));
  EXPECT_LT(now_s() - began_s, 5);
  EXPECT_TRUE(nvml_is_in_use());
  script->hangs = false;
  EXPECT_TRUE(wait_for([] { return !nvml_is_in_use(); }));
}

TEST(GpuMemory, IsAskedForOnlyWhereAnOptionMaySetALimit) {
  EXPECT_FALSE(may_limit_memory({"--model", "x.pt"}));
  EXPECT_TRUE(may_limit_memory({"--max-gpu-memory", "10%"}));
  EXPECT_TRUE(may_limit_memory({"--max_gpu_memory=10%"}));
  EXPECT_TRUE(may_limit_memory({"--config", "run.toml"})) << "who knows what stands there";
  std::string note = "as it was";
  EXPECT_THAT(GpuMemoryLook(false).finish(note), IsEmpty());
  EXPECT_EQ(note, "as it was");
}

} // namespace
} // namespace mgpu::agent::gpu_health
