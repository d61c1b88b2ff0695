// What an agent tells of its GPU.
#include <gmock/gmock.h>

#include "agent/gpu_health/scripted_probe.hpp"
#include "agent/supervisor/supervisor_rig.hpp"

namespace mgpu::agent {
namespace {

using gpu_health::GpuScript;
using testing::IsEmpty;

class SupervisorHealthTest : public testing::Test {
 protected:
  ~SupervisorHealthTest() override {
    script_->hangs = false;
    std::filesystem::remove(bad_path_);
  }
  void supervise(const std::string& uuid, double max_c = 0) {
    wire::Supervise limits;
    limits.restarts = 1;
    limits.gpu_uuid = uuid;
    limits.max_gpu_temperature_c = max_c;
    limits.health_interval_s = 0.02;
    wire::Buffer bytes;
    wire::encode(limits, bytes);
    supervisor_.post(Type::supervise, bytes);
    bytes.clear();
    wire::encode(wire::Configure(), bytes);
    supervisor_.post(Type::configure, bytes);
  }
  void poll() {
    supervisor_.poll([this](Type type, wire::View payload, const std::shared_ptr<void>&) {
      if (type == Type::health) told_.push_back(wire::decode<wire::Health>(payload));
    });
  }
  template <typename Done>
  bool until(Done done) {
    for (const double limit = now_s() + 10; now_s() < limit; std::this_thread::sleep_for(std::chrono::milliseconds(2))) {
      poll();
      if (done()) return true;
    }
    return false;
  }

  std::shared_ptr<GpuScript> script_ = std::make_shared<GpuScript>();
  /// Shared with the monitor's thread, which outlives the test when the driver hangs.
  struct Watched {
    void add(const std::string& uuid) {
      const std::lock_guard lock(mutex);
      uuids.push_back(uuid);
    }
    std::vector<std::string> all() {
      const std::lock_guard lock(mutex);
      return uuids;
    }
    std::mutex mutex;
    std::vector<std::string> uuids;
  };
  std::shared_ptr<Watched> watched_ = std::make_shared<Watched>();
  std::vector<ScriptedWorker*> workers_;
  std::string bad_path_ = testing::TempDir() + "mgpu_supervisor_health_" + std::to_string(getpid());
  Supervisor supervisor_{[this] {
                           auto worker = std::make_unique<ScriptedWorker>();
                           workers_.push_back(worker.get());
                           return worker;
                         },
                         [](const std::string&) { return ""; }, BadDevices(bad_path_), now_s,
                         [watched = watched_, script = script_](const std::string& uuid) {
                           watched->add(uuid);
                           return gpu_health::open_scripted(script);
                         }};
  std::vector<wire::Health> told_;
};

TEST_F(SupervisorHealthTest, TellsWhatItsGpuShows) {
  supervise("GPU-a", 80);
  ASSERT_TRUE(until([&] { return told_.size() >= 2; }));
  EXPECT_EQ(told_[0].sample.temperature_c, 40);
  script_->temperature_c = 82;
  EXPECT_TRUE(until([&] { return told_.back().state == wire::GpuState::held; }));
  script_->temperature_c = 75;
  EXPECT_TRUE(until([&] { return told_.back().state == wire::GpuState::fine; }));
  EXPECT_THAT(BadDevices(bad_path_).read(unix_now_s()), IsEmpty());
}

TEST_F(SupervisorHealthTest, AGpuThatFailsIsLeftOutForADay) {
  supervise("GPU-a");
  ASSERT_TRUE(until([&] { return !told_.empty(); }));
  script_->strike(79);
  ASSERT_TRUE(until([&] { return told_.back().state == wire::GpuState::drained; }));
  const auto bad = BadDevices(bad_path_).read(unix_now_s());
  ASSERT_EQ(bad.size(), 1U);
  EXPECT_EQ(bad[0].uuid, "GPU-a");
  EXPECT_EQ(bad[0].reason, "Xid 79 (the GPU has fallen off the bus)");
  EXPECT_NEAR(bad[0].until_unix_s - unix_now_s(), 24 * 3600, 60);
  std::filesystem::remove(bad_path_);
  const std::size_t before = told_.size();
  ASSERT_TRUE(until([&] { return told_.size() > before + 2; }));
  EXPECT_THAT(BadDevices(bad_path_).read(unix_now_s()), IsEmpty()) << "who clears the list is not overruled";
}

TEST_F(SupervisorHealthTest, OneMonitorForAllWorkersOfARank) {
  supervise("GPU-a");
  ASSERT_TRUE(until([&] { return !told_.empty(); }));
  supervise("GPU-a"); // for its next worker
  const std::size_t before = told_.size();
  ASSERT_TRUE(until([&] { return told_.size() > before + 2; }));
  EXPECT_THAT(watched_->all(), testing::ElementsAre("GPU-a"));
}

TEST_F(SupervisorHealthTest, WithoutAGpuNothingIsWatched) {
  supervise("");
  for (int round = 0; round < 50; ++round) poll();
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_THAT(watched_->all(), IsEmpty());
}

TEST_F(SupervisorHealthTest, ADriverThatHangsStopsNobody) {
  script_->hangs = true;
  supervise("GPU-a");
  const double began_s = now_s();
  for (int round = 0; round < 50; ++round) poll();
  supervisor_.end();
  EXPECT_LT(now_s() - began_s, 2);
  EXPECT_THAT(told_, IsEmpty());
}

} // namespace
} // namespace mgpu::agent
