#pragma once
// Rank 0's event loop, with a workload that does as it is told.
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/run_rig.hpp"

namespace mgpu::agent {

using testing::Contains;

/// What the workload shall do, and what it was told.
struct Script {
  std::atomic<bool> may_plan{true}, may_finish{true}, called_off{false};
  bool work_over = false, discarded = false;
  Outcome outcome;
  std::vector<std::string> told;
};

class ScriptedWorkload final : public Workload {
 public:
  ScriptedWorkload(RunControl& control, Script& script) : control_(control), script_(script) {}

  void plan(const std::vector<comm::Binding>&) override {
    while (!script_.may_plan) {
      try {
        control_.reading("items", 0, 0);
      } catch (...) {
        script_.called_off = true;
        throw;
      }
      std::this_thread::yield();
    }
  }
  void start() override { script_.told.emplace_back("start"); }
  void describe(int, wire::Configure&) const override {}
  wire::Supervise supervise() const override { return {}; }
  void opened(int rank, bool) override { script_.told.push_back(fmt::format("opened {}", rank)); }
  void worker_died(int rank, const wire::Died& died) override {
    script_.told.push_back(fmt::format("died {}: {}", rank, died.reason));
  }
  void on_frame(int rank, Type, wire::View, const std::shared_ptr<void>&) override {
    script_.told.push_back(fmt::format("frame {}", rank));
  }
  void lost(int rank, const std::string& reason, ExitCode code, bool over) override {
    script_.told.push_back(fmt::format("lost {}: {} ({}{})", rank, reason, static_cast<int>(code), over ? ", over" : ""));
  }
  bool step(double) override { return script_.work_over; }
  void stop(const std::string& reason, double, double grace_s) override {
    script_.told.push_back(fmt::format("stop: {}, {} s", reason, grace_s));
    script_.work_over = true;
    script_.outcome.stopped = reason;
    script_.outcome.code = ExitCode::stopped;
  }
  void show(Progress&, double) const override {}
  double drain_limit_s() const override { return 30; }
  Outcome finish() override {
    while (!script_.may_finish) std::this_thread::yield();
    return script_.outcome;
  }
  void discard_unused() noexcept override { script_.discarded = true; }

 private:
  RunControl& control_;
  Script& script_;
};

class CoordinatorTest : public RunTest {
 protected:
  void TearDown() override {
    script_.may_plan = script_.may_finish = true;
    coordinator_.reset(); // its threads use the script
  }
  void begin(std::vector<std::string> nodes = {"a", "b", "c"}) {
    start([this](RunControl& control) { return std::make_unique<ScriptedWorkload>(control, script_); }, std::move(nodes));
  }
  /// The phases, each from the one before.
  void plan() {
    script_.may_plan = false;
    join_all();
    round();
  }
  void run(std::vector<std::string> nodes = {"a", "b", "c"}) {
    begin(std::move(nodes));
    join_all();
    ASSERT_TRUE(until([&] { return count(0, Type::configure) == 1; }));
    for (int rank = 0; rank < size(); ++rank) open(rank);
    round();
  }
  void drain() {
    run();
    script_.work_over = true;
    round();
    ASSERT_EQ(count(1, Type::finish), 1);
  }
  void finish() {
    script_.may_finish = false;
    drain();
    end_workers();
    round();
  }
  void end_workers(int except = -1) {
    for (int rank = 0; rank < size(); ++rank)
      if (rank != except) say(rank, Type::stats, wire::Stats());
  }
  /// Work that ends by itself.
  Ended end_well(int except = -1) {
    script_.work_over = script_.may_finish = true;
    end_workers(except);
    return end();
  }
  /// Ranks answer bye, but those in `except`, as rank 0 waits.
  bool dismiss(const std::set<int>& except = {}) {
    link_.on_wait = [this, &except, said = false](std::chrono::microseconds pause) mutable {
      pass(std::chrono::duration<double>(pause).count());
      if (std::exchange(said, true)) return;
      for (int rank = 1; rank < size(); ++rank)
        if (!except.contains(rank)) say(rank, Type::bye);
    };
    return coordinator_->dismiss();
  }
  void expect_nobody_lost() const {
    for (int rank = 0; rank < size(); ++rank) EXPECT_EQ(coordinator_->rank_table().at(rank).lost, "");
  }

  Script script_;
};

} // namespace mgpu::agent
