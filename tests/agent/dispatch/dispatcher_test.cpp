#include "agent/dispatch/dispatcher.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <queue>
#include <random>
#include <set>

namespace mgpu::agent::dispatch {
namespace {

using Granted = std::map<int, std::vector<std::uint64_t>>;

Granted pump(Dispatcher& dispatcher, double now_s) {
  Granted granted;
  dispatcher.pump(now_s, [&](int rank, const Lease& lease) { granted[rank].push_back(lease.batch); });
  return granted;
}

TEST(Dispatcher, GivesEveryBatchExactlyOnce) {
  for (const Schedule schedule : {Schedule::dynamic, Schedule::block, Schedule::cyclic}) {
    const Plan plan(1000, 3, schedule, 4);
    Dispatcher dispatcher(plan, {});
    for (int rank = 0; rank < 4; ++rank) dispatcher.add_rank(rank);
    std::set<std::uint64_t> seen;
    for (double now = 0; !dispatcher.finished() && now < 10000; now += 1)
      for (const auto& [rank, batches] : pump(dispatcher, now))
        for (const std::uint64_t batch : batches) {
          EXPECT_TRUE(seen.insert(batch).second);
          EXPECT_TRUE(dispatcher.complete(rank, batch, 0, now + 0.5));
        }
    EXPECT_EQ(seen.size(), plan.batches());
    EXPECT_TRUE(dispatcher.finished());
  }
}

/// Also while the others have not come up yet; and by that rank after all when no other is left.
TEST(Dispatcher, WhatAGpuFailedOverIsForAnother) {
  const Plan plan(4, 4, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  const auto none = [](const Lease&) { FAIL() << "no row is to be given up"; };
  dispatcher.add_rank(1);
  ASSERT_EQ(pump(dispatcher, 0)[1].size(), 1u);
  dispatcher.release(1, {{{0, 0, 4}}, false, 1}, none);
  dispatcher.add_rank(1);
  EXPECT_TRUE(pump(dispatcher, 100).empty()) << "rank 0 has not come up yet";
  dispatcher.add_rank(0);
  EXPECT_EQ(pump(dispatcher, 101)[0].size(), 1u);
  dispatcher.lose_rank(0, none);
  EXPECT_EQ(pump(dispatcher, 102)[1].size(), 1u);
}

TEST(Dispatcher, WhatAnEarlierRunHasDoneIsNotGivenOutAgain) {
  for (const Schedule schedule : {Schedule::dynamic, Schedule::block, Schedule::cyclic}) {
    const Plan plan(1000, 3, schedule, 4);
    std::vector<bool> done(plan.batches());
    for (std::uint64_t batch = 0; batch < plan.batches(); ++batch) done[batch] = batch % 7 < 4 || batch < 100 || batch > 300;
    Dispatcher dispatcher(plan, {}, done);
    EXPECT_FALSE(dispatcher.finished());
    for (int rank = 0; rank < 4; ++rank) dispatcher.add_rank(rank);
    std::vector<bool> seen = done;
    for (double now = 0; !dispatcher.finished() && now < 10000; now += 1)
      for (const auto& [rank, batches] : pump(dispatcher, now))
        for (const std::uint64_t batch : batches) {
          EXPECT_FALSE(seen[batch]) << batch;
          seen[batch] = true;
          EXPECT_TRUE(dispatcher.complete(rank, batch, 0, now + 0.5));
        }
    EXPECT_EQ(seen, std::vector<bool>(plan.batches(), true));
    EXPECT_TRUE(dispatcher.all_done());
  }
  const Plan plan(9, 3, Schedule::dynamic, 1);
  EXPECT_TRUE(Dispatcher(plan, {}, {true, true, true}).finished());
}

TEST(Dispatcher, AnswersCountOnceAndOnlyFromTheHolder) {
  const Plan plan(4, 1, Schedule::cyclic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  dispatcher.add_rank(1);
  pump(dispatcher, 0);
  EXPECT_FALSE(dispatcher.complete(1, 0, 0, 1)) << "batch 0 is rank 0's";
  EXPECT_TRUE(dispatcher.complete(0, 0, 0, 1));
  EXPECT_FALSE(dispatcher.complete(0, 0, 0, 1)) << "twice";
  EXPECT_EQ(dispatcher.waiting() + dispatcher.leases().total(), 3U);
}

TEST(Dispatcher, WorkOfALostRankGoesToOthers) {
  for (const Schedule schedule : {Schedule::dynamic, Schedule::block, Schedule::cyclic}) {
    const Plan plan(40, 1, schedule, 2);
    Dispatcher dispatcher(plan, {});
    dispatcher.add_rank(0);
    dispatcher.add_rank(1);
    const Granted first = pump(dispatcher, 0);
    const std::uint64_t waiting = dispatcher.waiting();
    dispatcher.lose_rank(1, [](const Lease&) { FAIL() << "nothing is given up for one death"; });
    EXPECT_EQ(dispatcher.waiting(), waiting + first.at(1).size());
    std::set<std::uint64_t> done;
    for (const std::uint64_t batch : first.at(0)) {
      EXPECT_TRUE(dispatcher.complete(0, batch, 0, 1));
      done.insert(batch);
    }
    for (double now = 1; !dispatcher.finished() && now < 100; now += 1)
      for (const auto& [rank, batches] : pump(dispatcher, now)) {
        EXPECT_EQ(rank, 0);
        for (const std::uint64_t batch : batches) {
          EXPECT_TRUE(dispatcher.complete(rank, batch, 0, now));
          done.insert(batch);
        }
      }
    EXPECT_EQ(done.size(), 40U);
  }
}

TEST(Dispatcher, OnlyWhatWasExecutingIsBlamed) {
  const Plan plan(10, 1, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  pump(dispatcher, 0);
  const Lease oldest = dispatcher.leases().of(0).front(), second = dispatcher.leases().of(0).at(1);
  dispatcher.lose_rank(0, [](const Lease&) {});
  dispatcher.add_rank(1);
  std::vector<Lease> granted;
  const auto grant = [&](int, const Lease& lease) { granted.push_back(lease); };
  dispatcher.pump(1, grant);
  ASSERT_EQ(granted.size(), 1U) << "what may have killed a worker runs alone";
  EXPECT_EQ(granted[0].batch, oldest.batch);
  EXPECT_EQ(granted[0].attempt, 2U);
  EXPECT_TRUE(dispatcher.complete(1, oldest.batch, 0, 2));
  granted.clear();
  dispatcher.pump(3, grant);
  ASSERT_GE(granted.size(), 2U);
  EXPECT_EQ(granted[0].batch, second.batch);
  EXPECT_EQ(granted[0].attempt, 1U);
}

/// One worker after another dies whenever it holds row 5 of batch 1; all else gets done, and row 5 alone is given up.
TEST(Dispatcher, APoisonousRowIsFoundByHalving) {
  const Plan plan(32, 8, Schedule::dynamic, 1);
  Dispatcher dispatcher(plan, {});
  std::set<std::uint64_t> done;
  std::vector<Lease> failed;
  int deaths = 0;
  dispatcher.add_rank(0);
  for (int round = 0; !dispatcher.finished() && round < 100; ++round) {
    dispatcher.pump(round, [](int, const Lease&) {});
    ASSERT_GT(dispatcher.leases().count(0), 0U);
    const Lease lease = dispatcher.leases().of(0).front();
    if (lease.batch == 1 && lease.begin <= 5 && lease.begin + lease.rows > 5) {
      ++deaths;
      dispatcher.release(0, {{{1, lease.begin, lease.rows}}, false}, [&](const Lease& row) { failed.push_back(row); });
      dispatcher.add_rank(0);
      continue;
    }
    EXPECT_TRUE(dispatcher.complete(0, lease.batch, lease.begin, round));
    for (std::uint32_t row = 0; row < lease.rows; ++row) EXPECT_TRUE(done.insert(8 * lease.batch + lease.begin + row).second);
  }
  EXPECT_TRUE(dispatcher.all_done());
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].batch, 1U);
  EXPECT_EQ(failed[0].begin, 5U);
  EXPECT_EQ(failed[0].rows, 1U);
  EXPECT_EQ(deaths, 5) << "whole, whole again, 4 rows, 2 rows, alone";
  EXPECT_EQ(done.size(), 31U);
}

TEST(Dispatcher, LeasesHaveDeadlines) {
  const Plan plan(10, 1, Schedule::dynamic, 2);
  DispatcherOptions options;
  options.batch_timeout_s = 5;
  Dispatcher dispatcher(plan, options);
  dispatcher.add_rank(0);
  const Granted granted = pump(dispatcher, 100);
  EXPECT_TRUE(dispatcher.overdue(104).empty());
  EXPECT_EQ(dispatcher.overdue(106), std::vector<int>{0});
  dispatcher.postpone(1000);
  EXPECT_TRUE(dispatcher.overdue(1104).empty()) << "the job was suspended";
  EXPECT_EQ(dispatcher.overdue(1106), std::vector<int>{0});
  dispatcher.complete(0, granted.at(0).front(), 0, 1104); // the next one begins only now
  EXPECT_TRUE(dispatcher.overdue(1106).empty());
}

TEST(Dispatcher, StopsHandingOutAndDrains) {
  const Plan plan(100, 1, Schedule::dynamic, 1);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  const Granted granted = pump(dispatcher, 0);
  dispatcher.stop();
  EXPECT_FALSE(dispatcher.finished());
  for (const std::uint64_t batch : granted.at(0)) dispatcher.complete(0, batch, 0, 1);
  EXPECT_TRUE(dispatcher.finished());
  EXPECT_TRUE(pump(dispatcher, 2).empty());
}

TEST(Dispatcher, TinyBatchesTravelInLargeStrides) {
  const Plan plan(100000, 1, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  dispatcher.add_rank(1);
  double now = 0;
  std::size_t largest = 0;
  for (int round = 0; round < 200; ++round)
    for (const auto& [rank, batches] : pump(dispatcher, now)) {
      largest = std::max(largest, batches.size());
      for (const std::uint64_t batch : batches) dispatcher.complete(rank, batch, 0, now += 1e-6);
    }
  EXPECT_GT(largest, 100U);
}

/// Makespan of sleeping items on ranks that run what they hold in order, driven by the real dispatcher with virtual time.
double simulate(const std::vector<double>& seconds, int ranks, bool costs_known) {
  const auto path = std::filesystem::temp_directory_path() / ("mgpu_dispatcher_test_" + std::to_string(getpid()) + ".csv");
  {
    std::ofstream file(path);
    file << (costs_known ? "path,cost\n" : "path,other\n");
    for (const double second : seconds) file << "x," << second << "\n";
  }
  const manifest::Manifest manifest = manifest::Manifest::read(path.string());
  std::filesystem::remove(path);
  const Plan plan(manifest, 1, Schedule::dynamic, ranks);
  Dispatcher dispatcher(plan, {});
  std::vector<std::queue<std::uint64_t>> inbox(static_cast<std::size_t>(ranks));
  using Event = std::pair<double, int>;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> finishing;
  std::vector<bool> running(inbox.size(), false);
  for (int rank = 0; rank < ranks; ++rank) dispatcher.add_rank(rank);
  double now = 0;
  const auto start = [&](int rank) {
    auto& box = inbox[static_cast<std::size_t>(rank)];
    if (running[static_cast<std::size_t>(rank)] || box.empty()) return;
    running[static_cast<std::size_t>(rank)] = true;
    finishing.emplace(now + seconds[box.front()], rank);
  };
  while (!dispatcher.finished()) {
    for (const auto& [rank, batches] : pump(dispatcher, now)) {
      for (const std::uint64_t batch : batches) inbox[static_cast<std::size_t>(rank)].push(batch);
      start(rank);
    }
    if (finishing.empty()) break;
    const auto [time, rank] = finishing.top();
    finishing.pop();
    now = time;
    running[static_cast<std::size_t>(rank)] = false;
    dispatcher.complete(rank, inbox[static_cast<std::size_t>(rank)].front(), 0, now);
    inbox[static_cast<std::size_t>(rank)].pop();
    start(rank);
  }
  EXPECT_TRUE(dispatcher.finished());
  return now;
}

/// Items of a heavy-tailed load: log-normal with the given mean.
std::vector<double> log_normal(std::size_t count, double mean_s, double sigma, unsigned seed) {
  std::mt19937 random(seed);
  std::lognormal_distribution<double> draw(std::log(mean_s) - sigma * sigma / 2, sigma);
  std::vector<double> seconds(count);
  std::generate(seconds.begin(), seconds.end(), [&] { return draw(random); });
  return seconds;
}

double lower_bound(const std::vector<double>& seconds, int ranks) {
  double sum = 0, longest = 0;
  for (const double second : seconds) {
    sum += second;
    longest = std::max(longest, second);
  }
  return std::max(sum / ranks, longest);
}

TEST(Dispatcher, KnownCostsReachTheLowerBound) {
  for (const int ranks : {8, 32})
    for (unsigned seed = 0; seed < 5; ++seed) {
      const auto many = log_normal(2000, 0.01, 1.0, seed);
      EXPECT_GE(lower_bound(many, ranks) / simulate(many, ranks, true), 0.98) << ranks << " ranks, seed " << seed;
      const auto few = log_normal(200, 0.02, 1.5, seed);
      EXPECT_GE(lower_bound(few, ranks) / simulate(few, ranks, true), 0.98) << ranks << " ranks, seed " << seed;
    }
}

TEST(Dispatcher, LongBatchesWaitForRanksThatOpenALittleLater) {
  const auto path = std::filesystem::temp_directory_path() / ("mgpu_latecomer_test_" + std::to_string(getpid()) + ".csv");
  std::ofstream(path) << "path,cost\na,9\nb,8\nc,7\nd,6\n";
  const manifest::Manifest manifest = manifest::Manifest::read(path.string());
  std::filesystem::remove(path);
  const Plan plan(manifest, 1, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  EXPECT_EQ(pump(dispatcher, 0).at(0).size(), 1U);
  dispatcher.add_rank(1);
  EXPECT_EQ(pump(dispatcher, 0.1).at(1).front(), 1U) << "the second longest";
}

TEST(Dispatcher, UnknownCostsStayBalanced) {
  const auto many = log_normal(2000, 0.01, 1.0, 3);
  EXPECT_GE(lower_bound(many, 8) / simulate(many, 8, false), 0.93);
}

} // namespace
} // namespace mgpu::agent::dispatch
