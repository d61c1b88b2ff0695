// The event loop of a rank that is not rank 0.
#include "agent/coordinator/router.hpp"

#include <csignal>

#include "agent/run_rig.hpp"

namespace mgpu::agent {
namespace {

class RouterTest : public testing::Test {
 protected:
  RouterTest() {
    link_.on_wait = [this](std::chrono::microseconds pause) {
      process_.now_s = process_.now_s + std::chrono::duration<double>(pause).count();
      if (++waits_ > 100'000) throw std::runtime_error("the router does not end");
      if (!script_.empty()) {
        const auto act = std::move(script_.front());
        script_.pop_front();
        act();
      }
    };
  }
  int run() { return router_.run(wire::Join{.node = "b", .host = "b"}); }
  /// What run() throws.
  Ended failed_run() {
    try {
      run();
    } catch (const Error& error) {
      return {error.code(), error.what(), {}};
    }
    return {};
  }
  /// Whenever the loop pauses the next of these happens.
  void then(std::function<void()> act) { script_.push_back(std::move(act)); }
  template <typename Message>
  void hear(Type type, const Message& message) {
    messenger_.arrived.push_back({0, type, encoded(message), {}});
  }
  void then_bye(wire::Bye bye = {}) {
    then([this, bye] { hear(Type::bye, bye); });
  }
  /// So much time goes by, the loop running.
  void then_live(double seconds) {
    for (double left = seconds; left > 0; left -= 0.5) then([this, left] { pass(std::min(left, 0.5)); });
  }
  void pass(double seconds) { process_.now_s = process_.now_s + seconds; }
  std::vector<Frame> sent(Type type) const {
    std::vector<Frame> frames;
    for (const Frame& frame : messenger_.posted)
      if (frame.type == type && frame.rank == 0) frames.push_back(frame);
    return frames;
  }

  FakeProcess process_;
  FakeMessenger messenger_{1, 3};
  FakeLink link_;
  Router router_{messenger_, link_, {}, process_.process()};

 private:
  std::deque<std::function<void()>> script_;
  int waits_ = 0;
};

TEST_F(RouterTest, ASurveyIsAnsweredForDoctorOnly) {
  Router doctors{messenger_,
                 link_,
                 {.survey = [](const wire::Survey& asked) { return wire::Surveyed{.folder_error = asked.token}; }},
                 process_.process()};
  hear(Type::survey, wire::Survey{"/out/.token", "17"});
  then_bye();
  EXPECT_EQ(doctors.run(wire::Join{.node = "b", .host = "b"}), 0);
  ASSERT_EQ(sent(Type::surveyed).size(), 1U);
  EXPECT_EQ(wire::decode<wire::Surveyed>(sent(Type::surveyed)[0].payload()).folder_error, "17");
}

TEST_F(RouterTest, ASurveyInARunIsNotAnswered) {
  hear(Type::survey, wire::Survey{"/out/.token", "17"});
  then_bye();
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(sent(Type::surveyed).size(), 0U);
}

TEST_F(RouterTest, PassesFramesBothWaysUntilTheBye) {
  then([this] { hear(Type::grant, wire::Bye{7}); });
  then([this] { link_.arrived.push_back({0, Type::results, wire::Buffer(5), {}}); });
  then([this] { hear(Type::hello, wire::Hello()); }); // nothing for a rank
  then_bye({3, 0});
  EXPECT_EQ(run(), 3);
  EXPECT_EQ(sent(Type::join).at(0).as<wire::Join>().node, "b");
  ASSERT_EQ(link_.posted.size(), 1U);
  EXPECT_EQ(link_.posted[0].type, Type::grant);
  EXPECT_EQ(link_.posted[0].as<wire::Bye>().exit_code, 7);
  EXPECT_EQ(sent(Type::results).at(0).bytes.size(), 5U);
  EXPECT_EQ(sent(Type::bye).size(), 1U);
  EXPECT_FALSE(router_.without_finalize());
}

TEST_F(RouterTest, Rank0HearsOfItEverySecond) {
  then_live(5);
  then_bye();
  run();
  EXPECT_EQ(sent(Type::heartbeat).size(), 5U);
}

TEST_F(RouterTest, ASilentRank0IsGivenUp) {
  then_live(30);
  const Ended ended = failed_run();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_THAT(ended.text, HasSubstr("rank 1: nothing heard from rank 0 for 25 s; it is lost"));
  EXPECT_TRUE(router_.without_finalize());
  EXPECT_TRUE(link_.killed);
}

TEST_F(RouterTest, HowLongRank0MayBeSilentItSaysItself) {
  then([this] { hear(Type::heartbeat, wire::Heartbeat{3, 0, "a"}); });
  then_live(2.5);
  then([this] { messenger_.arrived.push_back({0, Type::heartbeat, {}, {}}); }); // before it knows its options
  then_live(10);
  EXPECT_THAT(failed_run().text, HasSubstr("nothing heard from rank 0 for 3 s"));
  EXPECT_LT(process_.now_s, 1007);
}

TEST_F(RouterTest, TimeOfASuspensionDoesNotCount) {
  then([this] { pass(3600); });
  then_live(20);
  then_bye();
  EXPECT_EQ(run(), 0);
}

TEST_F(RouterTest, Rank0Died) {
  then([this] { messenger_.dead = {0}; });
  const Ended ended = failed_run();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "rank 1: rank 0 died");
  EXPECT_TRUE(router_.without_finalize());
}

TEST_F(RouterTest, AfterALostRankAllLeaveTogether) {
  then([this] { messenger_.dead = {2}; });
  then_bye();
  then([this] { EXPECT_EQ(sent(Type::bye).size(), 1U) << "it has answered, and waits"; });
  then_bye();
  EXPECT_EQ(run(), 0);
  EXPECT_TRUE(router_.without_finalize());
  EXPECT_LT(process_.now_s, 1001);
}

TEST_F(RouterTest, ButDoNotWaitForEver) {
  then_bye({0, 1});
  EXPECT_EQ(run(), 0);
  EXPECT_NEAR(process_.now_s, 1005, 0.1) << "no second bye came";
}

TEST_F(RouterTest, Rank0DiedAfterTheBye) {
  then([this] { messenger_.stuck = {0}; });
  then_bye();
  then([this] { messenger_.dead = {0}; });
  EXPECT_EQ(run(), 0);
  EXPECT_LT(process_.now_s, 1001);
}

TEST_F(RouterTest, SignalsArePassedOnOnce) {
  then([this] { process_.signal = {SIGINT, 0, 0}; });
  then([] {});
  then([this] { process_.signal = {SIGINT, 0, 1}; });
  then([] {});
  then_bye({75, 0});
  EXPECT_EQ(run(), 75);
  const auto signals = sent(Type::signal);
  ASSERT_EQ(signals.size(), 2U);
  EXPECT_EQ(signals[0].as<wire::Signal>().number, SIGINT);
  EXPECT_EQ(signals[0].as<wire::Signal>().at_once, 0);
  EXPECT_EQ(signals[1].as<wire::Signal>().at_once, 1);
}

TEST_F(RouterTest, AWorkerThatEndedIsReportedOnce) {
  then([this] { link_.end = WorkerEnd{"exit code 127", 0}; });
  then([] {});
  then_bye();
  run();
  const auto failures = sent(Type::failure);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].as<wire::Failure>().text, "its worker ended: exit code 127");
}

TEST_F(RouterTest, AWorkerThatEndedWellIsNot) {
  then([this] { link_.end = WorkerEnd{}; });
  then_bye();
  run();
  EXPECT_TRUE(sent(Type::failure).empty());
}

TEST_F(RouterTest, MpirunIsGone) {
  process_.launcher_gone = true;
  then_live(2);
  const Ended ended = failed_run();
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "rank 1: the launcher of this rank has ended");
}

TEST_F(RouterTest, AMalformedFrameOfRank0EndsTheRank) {
  then([this] { messenger_.arrived.push_back({0, Type::bye, wire::Buffer(3), {}}); });
  EXPECT_EQ(failed_run().code, ExitCode::failed);
  EXPECT_TRUE(link_.killed);
}

TEST_F(RouterTest, AModelThatCannotBeStagedIsRank0sToJudge) {
  then([this] { hear(Type::stage, wire::Stage{"/nowhere/model.pt", 0}); });
  then([this] {
    link_.on_wait = [this](auto) { // the copy is another thread's work
      std::this_thread::yield();
      if (!sent(Type::staged).empty()) hear(Type::bye, wire::Bye());
    };
  });
  run();
  EXPECT_THAT(sent(Type::staged).at(0).as<wire::Staged>().error, HasSubstr("/nowhere/model.pt"));
}

TEST(Backoff, WaitsLongerTheLongerNothingHappens) {
  Backoff backoff;
  for (int round = 0; round < 16; ++round) EXPECT_EQ(backoff.next(false).count(), 0);
  std::int64_t last = 0;
  for (int round = 0; round < 100; ++round) {
    const std::int64_t pause = backoff.next(false).count();
    EXPECT_GE(pause, last);
    last = pause;
  }
  EXPECT_EQ(last, 2000);
  EXPECT_EQ(backoff.next(true).count(), 0);
  EXPECT_EQ(backoff.next(false).count(), 0);
}

} // namespace
} // namespace mgpu::agent
