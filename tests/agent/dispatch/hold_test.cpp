// Ranks that rest: nothing new for them, and never a run that hangs or ends for it.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "agent/dispatch/dispatcher.hpp"

namespace mgpu::agent::dispatch {
namespace {

using Granted = std::map<int, std::vector<Lease>>;

Granted pump(Dispatcher& dispatcher, double now_s) {
  Granted granted;
  dispatcher.pump(now_s, [&](int rank, const Lease& lease) { granted[rank].push_back(lease); });
  return granted;
}

void no_row(const Lease&) {
  FAIL() << "no row is to be given up";
}

constexpr Schedule schedules[] = {Schedule::dynamic, Schedule::block, Schedule::cyclic};

/// Ranks do what they have, one batch a second each; `at` may hold and release them. Batches by rank, each done once.
std::map<int, std::set<std::uint64_t>> run(
    Dispatcher& dispatcher, int ranks, double until_s, const std::function<void(double)>& at = [](double) {}) {
  std::map<int, std::set<std::uint64_t>> done;
  std::set<std::uint64_t> all;
  for (double now = 0; !dispatcher.finished() && now < until_s; now += 1) {
    at(now);
    pump(dispatcher, now);
    for (int rank = 0; rank < ranks; ++rank) {
      if (dispatcher.leases().count(rank) == 0) continue;
      const Lease lease = dispatcher.leases().of(rank).front();
      EXPECT_TRUE(dispatcher.complete(rank, lease.batch, lease.begin, now + 0.5));
      EXPECT_TRUE(all.insert(lease.batch).second) << lease.batch;
      done[rank].insert(lease.batch);
    }
  }
  return done;
}

TEST(Hold, AHeldRankGetsNothingNewAndKeepsWhatItHas) {
  for (const Schedule schedule : schedules) {
    const Plan plan(40, 1, schedule, 2);
    Dispatcher dispatcher(plan, {});
    for (const int rank : {0, 1}) dispatcher.add_rank(rank);
    const std::size_t before = pump(dispatcher, 0)[1].size();
    ASSERT_GT(before, 0U);
    dispatcher.hold(1, true);
    EXPECT_EQ(dispatcher.leases().count(1), before);
    const auto done = run(dispatcher, 2, 100);
    EXPECT_EQ(done.at(1).size(), before) << "it goes on with what it has";
    EXPECT_EQ(done.at(0).size(), 40 - before) << "the other takes the rest, also of its queue";
    EXPECT_TRUE(dispatcher.all_done());
  }
}

TEST(Hold, ARankThatIsReleasedWorksAgain) {
  for (const Schedule schedule : schedules) {
    const Plan plan(60, 1, schedule, 2);
    Dispatcher dispatcher(plan, {});
    for (const int rank : {0, 1}) dispatcher.add_rank(rank);
    dispatcher.hold(1, true);
    const auto done = run(dispatcher, 2, 1000, [&](double now) {
      if (now == 10) dispatcher.hold(1, false);
    });
    EXPECT_TRUE(dispatcher.all_done());
    EXPECT_GE(done.at(1).size(), 15U);
    EXPECT_EQ(done.at(0).size() + done.at(1).size(), 60U);
  }
}

TEST(Hold, ALatecomerMayBeHeldBeforeItIsThere) {
  for (const Schedule schedule : schedules) {
    const Plan plan(20, 1, schedule, 2);
    Dispatcher dispatcher(plan, {});
    dispatcher.hold(1, true);
    dispatcher.add_rank(0);
    EXPECT_FALSE(dispatcher.waits_for_held(0));
    const auto done = run(dispatcher, 2, 100, [&](double now) {
      if (now == 3) dispatcher.add_rank(1);
    });
    EXPECT_EQ(done.count(1), 0U);
    EXPECT_TRUE(dispatcher.all_done());
  }
}

TEST(Hold, WithAllRanksHeldTheRunWaitsAndDoesNotFinish) {
  for (const Schedule schedule : schedules) {
    const Plan plan(20, 1, schedule, 2);
    Dispatcher dispatcher(plan, {});
    for (const int rank : {0, 1}) dispatcher.add_rank(rank);
    pump(dispatcher, 0);
    for (const int rank : {0, 1}) dispatcher.hold(rank, true);
    EXPECT_FALSE(dispatcher.waits_for_held(0)) << "what they have is under way";
    run(dispatcher, 2, 30);
    EXPECT_FALSE(dispatcher.finished());
    EXPECT_TRUE(dispatcher.waits_for_held(30));
    EXPECT_TRUE(pump(dispatcher, 1e6).empty());
    dispatcher.hold(1, false);
    EXPECT_FALSE(dispatcher.waits_for_held(31));
    EXPECT_FALSE(pump(dispatcher, 31)[1].empty());
  }
}

TEST(Hold, ARankThatComesUpIsNotOneThatRests) {
  const Plan plan(20, 1, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  dispatcher.hold(0, true);
  EXPECT_FALSE(dispatcher.waits_for_held(1e6)) << "rank 1 opens its model";
  dispatcher.lose_rank(1, no_row);
  EXPECT_TRUE(dispatcher.waits_for_held(1));
}

TEST(Hold, AHeldRankThatDiesGivesBackWhatItHas) {
  for (const Schedule schedule : schedules) {
    const Plan plan(20, 1, schedule, 2);
    Dispatcher dispatcher(plan, {});
    for (const int rank : {0, 1}) dispatcher.add_rank(rank);
    pump(dispatcher, 0);
    dispatcher.hold(1, true);
    dispatcher.release(1, {}, no_row);
    dispatcher.add_rank(1); // its next worker
    EXPECT_EQ(pump(dispatcher, 1).count(1), 0U) << "it is as hot as before";
    dispatcher.lose_rank(1, no_row);
    run(dispatcher, 2, 100);
    EXPECT_TRUE(dispatcher.all_done());
  }
}

TEST(Hold, WhatAnEarlierRunHasDoneIsNotWaitedFor) {
  for (const Schedule schedule : schedules) {
    const Plan plan(20, 1, schedule, 2);
    std::vector<bool> done(20, true);
    done[3] = false;
    Dispatcher dispatcher(plan, {}, done);
    for (const int rank : {0, 1}) dispatcher.add_rank(rank);
    dispatcher.hold(1, true);
    const auto did = run(dispatcher, 2, 10);
    EXPECT_THAT(did.at(0), testing::ElementsAre(3U)) << "whosever queue it is in";
    EXPECT_TRUE(dispatcher.all_done());
    EXPECT_FALSE(dispatcher.waits_for_held(10));
  }
}

/// What rank 0 could not read waits for rank 1, which is held: after its time rank 0 tries itself.
TEST(Hold, ASecondTryDoesNotWaitForAHeldRankForEver) {
  const Plan plan(2, 1, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  for (const int rank : {0, 1}) dispatcher.add_rank(rank);
  dispatcher.hold(1, true);
  const Lease lease = pump(dispatcher, 0)[0].at(0);
  const Lease held = dispatcher.complete(0, lease.batch, lease.begin, 1).value();
  ASSERT_TRUE(dispatcher.note_rows(0, held, 1));
  dispatcher.try_elsewhere(0, held, {held.batch, 0, 1}, 1, 1);
  const auto other = run(dispatcher, 2, 2);
  EXPECT_FALSE(dispatcher.finished());
  EXPECT_FALSE(dispatcher.waits_for_held(10)) << "it only waits for its time";
  EXPECT_TRUE(pump(dispatcher, 20).empty());
  EXPECT_EQ(pump(dispatcher, 40)[0].at(0).failed_on, 0);
}

/// What a GPU failed over is for another GPU; the only other one is too hot.
TEST(Hold, WhatIsForAHeldRankOnlyIsSeenAsSuch) {
  const Plan plan(1, 1, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  for (const int rank : {0, 1}) dispatcher.add_rank(rank);
  pump(dispatcher, 0);
  Death death;
  death.suspects = {{0, 0, 1}};
  death.gpu_of = 0;
  dispatcher.release(0, death, no_row);
  dispatcher.add_rank(0);
  dispatcher.hold(1, true);
  EXPECT_TRUE(pump(dispatcher, 100).empty());
  EXPECT_FALSE(dispatcher.finished());
  EXPECT_TRUE(dispatcher.waits_for_held(100));
  dispatcher.lose_rank(1, no_row);
  EXPECT_EQ(pump(dispatcher, 101)[0].size(), 1U);
}

TEST(Hold, AStoppedRunDoesNotWait) {
  const Plan plan(20, 1, Schedule::dynamic, 1);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  dispatcher.hold(0, true);
  EXPECT_FALSE(dispatcher.finished());
  dispatcher.stop();
  EXPECT_TRUE(dispatcher.finished());
  EXPECT_FALSE(dispatcher.waits_for_held(0));
}

TEST(Hold, LongestFirstLeavesHeldRanksOut) {
  const auto path = std::filesystem::temp_directory_path() / ("mgpu_hold_test_" + std::to_string(getpid()) + ".csv");
  {
    std::ofstream file(path);
    file << "path,cost\n";
    for (int item = 0; item < 30; ++item) file << "x," << 1 + item % 7 << "\n";
  }
  const manifest::Manifest manifest = manifest::Manifest::read(path.string());
  std::filesystem::remove(path);
  const Plan plan(manifest, 1, Schedule::dynamic, 3);
  ASSERT_TRUE(plan.costs_known());
  Dispatcher dispatcher(plan, {});
  for (const int rank : {0, 1, 2}) dispatcher.add_rank(rank);
  dispatcher.hold(0, true);
  dispatcher.hold(2, true);
  const auto done = run(dispatcher, 3, 100);
  EXPECT_EQ(done.size(), 1U);
  EXPECT_EQ(done.at(1).size(), 30U);
}

} // namespace
} // namespace mgpu::agent::dispatch
