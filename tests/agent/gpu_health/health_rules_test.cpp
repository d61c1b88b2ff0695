#include "agent/gpu_health/health_rules.hpp"

#include <gmock/gmock.h>

namespace mgpu::agent::gpu_health {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using wire::GpuState;

Observation at(double temperature_c, double slowdown_c = wire::GpuSample::unknown, std::int64_t throttle = -1) {
  Observation seen;
  seen.sample.emplace();
  seen.sample->temperature_c = temperature_c;
  seen.sample->slowdown_c = slowdown_c;
  seen.sample->throttle_reasons = throttle;
  return seen;
}
Observation ecc(std::int64_t errors) {
  Observation seen = at(50);
  seen.sample->uncorrected_ecc = errors;
  return seen;
}
Observation remap(int pending, int failed) {
  Observation seen = at(50);
  seen.sample->remap_pending = pending;
  seen.sample->remap_failed = failed;
  return seen;
}
Observation xid(std::vector<std::uint32_t> numbers) {
  Observation seen;
  seen.xids = std::move(numbers);
  return seen;
}

TEST(HealthRules, HoldFromTheLimitUntilFiveDegreesBelow) {
  HealthRules rules({85});
  EXPECT_EQ(rules.judge(at(84)).state, GpuState::fine);
  const Judgement hot = rules.judge(at(85));
  EXPECT_EQ(hot.state, GpuState::held);
  EXPECT_EQ(hot.reason, "at 85 °C, --max-gpu-temp is 85");
  EXPECT_EQ(rules.judge(at(99)).reason, hot.reason) << "of the change, not of each sample";
  EXPECT_EQ(rules.judge(at(81)).state, GpuState::held);
  EXPECT_EQ(rules.judge(at(wire::GpuSample::unknown)).state, GpuState::held) << "what is unknown changes nothing";
  EXPECT_EQ(rules.judge(Observation()).state, GpuState::held);
  const Judgement cool = rules.judge(at(80));
  EXPECT_EQ(cool.state, GpuState::fine);
  EXPECT_EQ(cool.reason, "at 80 °C");
  EXPECT_EQ(rules.judge(at(84)).state, GpuState::fine);
  EXPECT_EQ(rules.judge(at(90)).state, GpuState::held) << "again";
}

TEST(HealthRules, WithoutALimitNothingIsHeld) {
  HealthRules rules({});
  EXPECT_EQ(rules.judge(at(110)).state, GpuState::fine);
  EXPECT_EQ(rules.judge(at(wire::GpuSample::unknown)).state, GpuState::fine);
}

TEST(HealthRules, WarnOfHeatOnceUntilItIsOver) {
  HealthRules rules({});
  EXPECT_THAT(rules.judge(at(88, 90)).warnings, IsEmpty());
  EXPECT_THAT(rules.judge(at(91, 90)).warnings, ElementsAre("at 91 °C; from 90 °C on it slows down"));
  EXPECT_THAT(rules.judge(at(89, 90)).warnings, IsEmpty());
  EXPECT_THAT(rules.judge(at(92, 90)).warnings, IsEmpty()) << "the same episode";
  rules.judge(at(85, 90));
  EXPECT_EQ(rules.judge(at(90, 90)).warnings.size(), 1U);
}

TEST(HealthRules, WarnOfThrottlingThatIsNotAsItShouldBe) {
  HealthRules rules({});
  EXPECT_THAT(rules.judge(at(60, 90, 0x1 | 0x4)).warnings, IsEmpty()) << "idle, power cap";
  EXPECT_THAT(rules.judge(at(60, 90, 0x44)).warnings, ElementsAre("slowed down by heat, at 60 °C"));
  EXPECT_THAT(rules.judge(at(60, 90, 0x20)).warnings, IsEmpty());
  rules.judge(at(60, 90, 0));
  EXPECT_THAT(rules.judge(at(60, 90, 0xa0)).warnings, ElementsAre("slowed down by heat, power brake, at 60 °C"));
}

TEST(HealthRules, DrainForUncorrectedMemoryErrorsOfThisRun) {
  HealthRules rules({});
  EXPECT_EQ(rules.judge(ecc(0)).state, GpuState::fine);
  const Judgement bad = rules.judge(ecc(2));
  EXPECT_EQ(bad.state, GpuState::drained);
  EXPECT_EQ(bad.reason, "2 uncorrected memory error(s)");
  HealthRules later({});
  const Judgement before = later.judge(ecc(3));
  EXPECT_EQ(before.state, GpuState::fine) << "of an earlier run";
  EXPECT_THAT(before.warnings, ElementsAre(HasSubstr("3 uncorrected memory error(s) before this run")));
  EXPECT_EQ(later.judge(ecc(3)).state, GpuState::fine);
  EXPECT_EQ(later.judge(ecc(0)).state, GpuState::fine) << "the driver was loaded again";
  EXPECT_EQ(later.judge(ecc(1)).reason, "1 uncorrected memory error(s)");
}

TEST(HealthRules, DrainForARowThatCannotBeReplaced) {
  HealthRules rules({});
  EXPECT_THAT(rules.judge(remap(0, 0)).warnings, IsEmpty());
  EXPECT_THAT(rules.judge(remap(1, 0)).warnings, ElementsAre("a damaged memory row is replaced at its next reset"));
  EXPECT_THAT(rules.judge(remap(1, 0)).warnings, IsEmpty());
  EXPECT_EQ(rules.judge(remap(1, 1)).state, GpuState::drained);
  HealthRules known({});
  const Judgement before = known.judge(remap(0, 1));
  EXPECT_EQ(before.state, GpuState::fine) << "its administrator left it in use";
  EXPECT_THAT(before.warnings, ElementsAre(HasSubstr("it should be repaired")));
}

TEST(HealthRules, XidsOfTheHardwareAreFatalThoseOfAProgramAreNot) {
  for (const std::uint32_t number : {46U, 48U, 62U, 64U, 79U, 95U, 110U, 119U, 120U, 140U, 143U})
    EXPECT_EQ(HealthRules({}).judge(xid({number})).state, GpuState::drained) << number;
  for (const std::uint32_t number : {13U, 31U, 43U, 45U, 68U, 109U}) {
    const Judgement judgement = HealthRules({}).judge(xid({number}));
    EXPECT_EQ(judgement.state, GpuState::fine) << number;
    EXPECT_THAT(judgement.warnings, IsEmpty()) << number;
  }
  HealthRules rules({});
  EXPECT_THAT(rules.judge(xid({74, 999, 74})).warnings, ElementsAre("Xid 74 (an NVLink error)", "Xid 999"));
  EXPECT_THAT(rules.judge(xid({74})).warnings, IsEmpty()) << "once each";
  EXPECT_EQ(rules.judge(xid({45, 79, 119})).reason, "Xid 79 (the GPU has fallen off the bus)") << "the first that is fatal";
}

TEST(HealthRules, DrainedIsForGood) {
  HealthRules rules({85});
  rules.judge(at(90));
  Observation lost = at(wire::GpuSample::unknown);
  lost.lost = "nvmlDeviceGetMemoryInfo: GPU is lost";
  EXPECT_EQ(rules.judge(lost).reason, "nvmlDeviceGetMemoryInfo: GPU is lost");
  const Judgement later = rules.judge(at(40));
  EXPECT_EQ(later.state, GpuState::drained);
  EXPECT_EQ(later.reason, "nvmlDeviceGetMemoryInfo: GPU is lost");
  EXPECT_EQ(rules.judge(at(90)).state, GpuState::drained);
}

} // namespace
} // namespace mgpu::agent::gpu_health
