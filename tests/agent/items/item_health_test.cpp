// GPUs that get hot or fail in an item run: every item is done once, or the run can be resumed.
#include "agent/items/item_rig.hpp"

namespace mgpu::agent {
namespace {

using wire::GpuState;

class ItemHealthTest : public ItemTest {
 protected:
  void show(int rank, GpuState state, const std::string& reason, std::vector<std::string> warnings = {}) {
    wire::Health health;
    health.sample.temperature_c = state == GpuState::held ? 90 : 60;
    health.state = state;
    health.reason = reason;
    health.warnings = std::move(warnings);
    say(rank, Type::health, health);
    round();
  }
  void heat(int rank) { show(rank, GpuState::held, "at 90 °C, --max-gpu-temp is 85"); }
  void cool(int rank) { show(rank, GpuState::fine, "at 80 °C"); }
  void fail_gpu(int rank) { show(rank, GpuState::drained, "Xid 79 (the GPU has fallen off the bus)"); }
  const std::string& lost(int rank) { return coordinator_->rank_table().at(rank).lost; }
  /// The file has what an undisturbed run makes.
  void expect_all(int items) {
    std::vector<std::string> expected;
    for (int item = 0; item < items; ++item) expected.push_back(fmt::format("{}", 2.0 * item));
    EXPECT_EQ(rows(), expected);
  }
  /// Answers all that ranks hold, until nobody holds anything.
  void work_all(const std::set<int>& ranks) {
    for (bool any = true; any;) {
      any = false;
      for (const int rank : ranks)
        for (; !held(rank).empty(); any = true, ++answered_) {
          pass(0.1); // batches that take no time would all be granted ahead
          answer(rank, take(rank));
          round();
        }
      round();
    }
  }
  int answered_ = 0;
};

TEST_F(ItemHealthTest, ARankThatGetsHotRestsAndComesBack) {
  for (const auto schedule : {dispatch::Schedule::dynamic, dispatch::Schedule::block, dispatch::Schedule::cyclic}) {
    setup_.schedule = schedule;
    begin(400);
    heat(1);
    const std::size_t in_hand = held(1).size();
    while (!held(1).empty()) answer(1, take(1));
    round();
    EXPECT_TRUE(held(1).empty()) << in_hand << " batches came back, no other is granted";
    live(20, {1});
    for (int batch = 0; batch < 3; ++batch) {
      answer(0, take(0));
      round();
    }
    EXPECT_TRUE(held(1).empty());
    cool(1);
    EXPECT_FALSE(held(1).empty());
    EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
    expect_all(400);
    std::filesystem::remove_all(setup_.output);
  }
  EXPECT_THAT(said(), AllOf(HasSubstr("rank 1 on b rests: its GPU  is at 90 °C, --max-gpu-temp is 85"),
                            HasSubstr("rank 1 on b works again: its GPU  is at 80 °C"), HasSubstr("was too hot for 20")));
}

TEST_F(ItemHealthTest, AGpuThatFailsFinishesWhatItHasAndLeaves) {
  begin(40);
  fail_gpu(1);
  EXPECT_EQ(lost(1), "") << "it has work in hand";
  ASSERT_FALSE(held(1).empty());
  while (!held(1).empty()) {
    answer(1, take(1));
    ++answered_;
  }
  round();
  EXPECT_THAT(lost(1), HasSubstr("fails: Xid 79 (the GPU has fallen off the bus)"));
  work_all({0});
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
  expect_all(40);
  EXPECT_EQ(answered_, 10) << "each batch once";
  EXPECT_THAT(said(), AllOf(HasSubstr("rank 1 on b gets no more work: its GPU"), HasSubstr("failed: Xid 79"),
                            HasSubstr("left out of runs for a day")));
}

TEST_F(ItemHealthTest, AGpuThatFailsAndDoesNotFinishIsNotWaitedForLong) {
  begin(40);
  fail_gpu(1);
  live(59, {1});
  EXPECT_EQ(lost(1), "");
  live(2, {1});
  EXPECT_THAT(lost(1), HasSubstr("Xid 79"));
  work_all({0});
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
  expect_all(40);
}

TEST_F(ItemHealthTest, AWorkerThatDiesOfItsGpuIsNoTrouble) {
  begin(40);
  die(1, wire::Died{.reason = "CUDA error", .cause = wire::FailureCause::device, .device = wire::DeviceTrouble::hardware}, false);
  fail_gpu(1);
  EXPECT_THAT(lost(1), HasSubstr("Xid 79")) << "it holds nothing any more";
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
  expect_all(40);
}

TEST_F(ItemHealthTest, TheLastGpuThatFailsStopsTheRunAndNothingIsLost) {
  begin(400, {"a"});
  const std::size_t in_hand = held(0).size();
  fail_gpu(0);
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, AllOf(HasSubstr("rank 0 on a, the last one: its GPU"), HasSubstr("Xid 79")));
  EXPECT_EQ(ended.outcome.done, 4 * in_hand);
  setup_.resume = true;
  again({"a"});
  open_rank(0);
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
  expect_all(400);
}

TEST_F(ItemHealthTest, WithAllGpusHotTheRunWaitsAndThenStops) {
  setup_.max_hold_s = 100;
  begin(400);
  for (const int rank : {0, 1}) heat(rank);
  work_all({0, 1});
  const int done = answered_;
  EXPECT_GT(done, 0);
  live(90, {0, 1});
  EXPECT_EQ(count(1, Type::finish), 0);
  live(15, {0, 1});
  EXPECT_EQ(count(1, Type::finish), 1);
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, AllOf(HasSubstr("nobody may work for 1 min 40 s (--max-hold)"), HasSubstr("rank 1 on b was at 90 °C")));
  EXPECT_EQ(ended.outcome.done, 4U * static_cast<unsigned>(done));
  setup_.resume = true;
  again({"a", "b"});
  for (const int rank : {0, 1}) open_rank(rank);
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  expect_all(400);
  EXPECT_THAT(said(), HasSubstr("the run waits, at most 1 min 40 s more: the GPU of rank 0 on a was at 90 °C"));
}

TEST_F(ItemHealthTest, ASuspensionIsNoWait) {
  setup_.max_hold_s = 100;
  begin(400, {"a"});
  heat(0);
  work_all({0});
  live(10, {});
  pass(3600);
  round();
  live(10, {});
  EXPECT_EQ(count(0, Type::finish), 0);
  cool(0);
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
}

TEST_F(ItemHealthTest, AWaitThatEndsCountsFromTheBeginning) {
  setup_.max_hold_s = 100;
  begin(400, {"a"});
  for (int rest = 0; rest < 3; ++rest) {
    heat(0);
    work_all({0});
    live(80, {});
    cool(0);
    EXPECT_FALSE(held(0).empty()) << rest;
  }
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
}

TEST_F(ItemHealthTest, ASignalEndsTheWait) {
  begin(400, {"a"});
  heat(0);
  work_all({0});
  process_.signal = {15, 0, 0};
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "signal TERM");
}

TEST_F(ItemHealthTest, ARankThatIsHotBeforeItsModelIsOpenRestsAtOnce) {
  configure(40, {"a", "b"});
  heat(1);
  open_rank(0);
  open_rank(1);
  ASSERT_TRUE(until([&] { return !held(0).empty(); }));
  EXPECT_TRUE(held(1).empty());
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  expect_all(40);
}

TEST_F(ItemHealthTest, WarningsAreTold) {
  begin(8);
  show(1, GpuState::fine, "", {"Xid 74 (an NVLink error)"});
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  EXPECT_THAT(said(), HasSubstr("warning: rank 1 on b, : Xid 74 (an NVLink error)"));
}

TEST_F(ItemHealthTest, SamplesAreInTheFile) {
  begin(8);
  show(1, GpuState::fine, "");
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  const write::ReadFile file(setup_.output);
  ASSERT_TRUE(write::h5::exists(file.file(), "telemetry"));
  EXPECT_EQ(write::h5::shape_of(write::h5::open_dataset(file.file(), "telemetry")).at(0), 1U);
}

TEST_F(ItemHealthTest, ADamagedWordCostsItsRankOnly) {
  begin(8);
  wire::Buffer bytes = encoded(wire::Health());
  bytes.pop_back();
  arrive({1, Type::health, bytes, {}});
  EXPECT_EQ(end_working({0}).code, ExitCode::ok);
  expect_all(8);
}

} // namespace
} // namespace mgpu::agent
