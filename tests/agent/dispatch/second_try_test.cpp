// What a rank cannot read, or has no memory for, is tried on another one.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "agent/dispatch/dispatcher.hpp"

namespace mgpu::agent::dispatch {
namespace {

using Granted = std::map<int, std::vector<Lease>>;

Granted pump(Dispatcher& dispatcher, double now_s) {
  Granted granted;
  dispatcher.pump(now_s, [&](int rank, const Lease& lease) { granted[rank].push_back(lease); });
  return granted;
}

/// As a workload does: what cannot be read on the first try goes elsewhere. True when the lease's failure stands.
bool answer(Dispatcher& dispatcher, int rank, const Lease& lease, std::uint32_t unreadable, double now_s) {
  const auto held = dispatcher.complete(rank, lease.batch, lease.begin, now_s);
  EXPECT_TRUE(held);
  if (!dispatcher.note_rows(rank, *held, unreadable)) return unreadable > 0;
  dispatcher.try_elsewhere(rank, *held, {lease.batch, lease.begin, lease.rows}, unreadable, now_s);
  return false;
}

DispatcherOptions on_nodes(std::vector<int> node_of) {
  DispatcherOptions options;
  options.node_of = std::move(node_of);
  return options;
}

TEST(SecondTry, AnotherNodeThenAnotherRankThenTheSame) {
  const Plan plan(6, 2, Schedule::dynamic, 4);
  for (const std::vector<int>& nodes : {std::vector{0, 0, 1, 1}, std::vector{0, 0, 0, 0}}) {
    Dispatcher dispatcher(plan, on_nodes(nodes));
    for (int rank = 0; rank < 4; ++rank) dispatcher.add_rank(rank);
    const Lease lease = pump(dispatcher, 0).at(0).front();
    EXPECT_FALSE(answer(dispatcher, 0, lease, 2, 1));
    for (int rank = 1; rank < 4; ++rank)
      for (const Lease& each : std::vector(dispatcher.leases().of(rank).begin(), dispatcher.leases().of(rank).end()))
        answer(dispatcher, rank, each, 0, 1);
    const Granted again = pump(dispatcher, 2);
    ASSERT_EQ(again.size(), 1U);
    const auto& [rank, leases] = *again.begin();
    EXPECT_EQ(rank, nodes[2] == 0 ? 1 : 2);
    EXPECT_EQ(leases.front().failed_on, 0);
    EXPECT_TRUE(answer(dispatcher, rank, leases.front(), 1, 3)) << "tried twice: it stands";
    EXPECT_TRUE(dispatcher.all_done());
  }
}

TEST(SecondTry, ALoneRankHasTheLastWord) {
  const Plan plan(2, 2, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  const Lease lease = pump(dispatcher, 0).at(0).front();
  EXPECT_FALSE(answer(dispatcher, 0, lease, 1, 1)) << "rank 1 may still come";
  EXPECT_TRUE(pump(dispatcher, 2).empty());
  dispatcher.lose_rank(1, [](const Lease&) {});
  const Granted again = pump(dispatcher, 3);
  ASSERT_EQ(again.count(0), 1U);
  EXPECT_TRUE(answer(dispatcher, 0, again.at(0).front(), 1, 4));
  EXPECT_TRUE(dispatcher.finished());
}

TEST(SecondTry, ARankThatDoesNotComeUpIsNotWaitedFor) {
  const Plan plan(2, 2, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  answer(dispatcher, 0, pump(dispatcher, 0).at(0).front(), 1, 1);
  EXPECT_TRUE(pump(dispatcher, 30).empty());
  EXPECT_EQ(pump(dispatcher, 32).count(0), 1U);
}

/// Rank 1 sees no files; every schedule, with and without costs, with 2 to 4 ranks: nothing is lost, and rank 1 is found out.
TEST(SecondTry, ABlindRankLosesNothingAndIsFoundOut) {
  for (const Schedule schedule : {Schedule::dynamic, Schedule::block, Schedule::cyclic})
    for (const int ranks : {2, 3, 4}) {
      const Plan plan(4000, 8, schedule, ranks);
      Dispatcher dispatcher(plan, {});
      for (int rank = 0; rank < ranks; ++rank) dispatcher.add_rank(rank);
      std::vector<int> done(plan.items(), 0);
      bool out = false;
      std::uint64_t blind_batches = 0;
      for (double now = 0; !dispatcher.finished() && now < 100'000; now += 1) {
        pump(dispatcher, now);
        for (int rank = ranks - 1; rank >= 0; --rank) {
          const int answers = rank == 1 ? 8 : 1; // failing is quick
          for (int i = 0; i < answers && dispatcher.leases().count(rank) > 0; ++i) {
            const Lease lease = dispatcher.leases().of(rank).front();
            blind_batches += rank == 1 ? 1 : 0;
            ASSERT_FALSE(answer(dispatcher, rank, lease, rank == 1 ? lease.rows : 0, now)) << "failed for good";
            for (std::uint32_t row = 0; rank != 1 && row < lease.rows; ++row) ++done[lease.batch * 8 + lease.begin + row];
          }
        }
        if (!out && dispatcher.health().fails_alone(1)) {
          out = true;
          dispatcher.lose_rank(1, [](const Lease&) {});
        }
        for (int rank = 0; rank < ranks; ++rank) EXPECT_TRUE(rank == 1 || !dispatcher.health().fails_alone(rank));
      }
      EXPECT_TRUE(out);
      EXPECT_LE(blind_batches, 60U) << "it is held back until others have told";
      EXPECT_EQ(std::count(done.begin(), done.end(), 1), 4000);
    }
}

/// Files that are nowhere are nobody's fault, however many.
TEST(SecondTry, MissingFilesBlameNobody) {
  const Plan plan(4000, 8, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  dispatcher.add_rank(1);
  std::uint64_t failed = 0;
  for (double now = 0; !dispatcher.finished() && now < 100'000; now += 1) {
    pump(dispatcher, now);
    for (int rank = 0; rank < 2; ++rank)
      if (dispatcher.leases().count(rank) > 0) {
        const Lease lease = dispatcher.leases().of(rank).front();
        const bool missing = lease.batch % 2 == 0;
        if (answer(dispatcher, rank, lease, missing ? lease.rows : 0, now)) failed += lease.rows;
      }
    EXPECT_FALSE(dispatcher.health().fails_alone(0) || dispatcher.health().fails_alone(1));
  }
  EXPECT_TRUE(dispatcher.all_done());
  EXPECT_EQ(failed, 2000U);
}

TEST(Parts, ALargeBatchIsAnsweredInParts) {
  const Plan plan(8, 8, Schedule::dynamic, 2);
  Dispatcher dispatcher(plan, {});
  dispatcher.add_rank(0);
  dispatcher.add_rank(1);
  ASSERT_EQ(pump(dispatcher, 0).at(0).size(), 1U);
  EXPECT_EQ(dispatcher.rows_of(0, 0, 0), 8U);
  const auto part = dispatcher.complete(0, 0, 0, 1, 3);
  ASSERT_TRUE(part);
  EXPECT_EQ(part->rows, 3U);
  EXPECT_FALSE(dispatcher.complete(0, 0, 0, 1, 3)) << "twice";
  EXPECT_EQ(dispatcher.rows_of(0, 0, 3), 5U);
  EXPECT_FALSE(dispatcher.all_done());
  dispatcher.release(0, {}, [](const Lease&) {}); // its worker dies between two parts
  const Granted again = pump(dispatcher, 2);
  ASSERT_EQ(again.count(1), 1U);
  EXPECT_EQ(again.at(1).front().begin, 3U);
  EXPECT_EQ(again.at(1).front().rows, 5U);
  EXPECT_TRUE(dispatcher.complete(1, 0, 3, 3, 5));
  EXPECT_TRUE(dispatcher.all_done());
}

TEST(RankHealth, ALateLossIsNoticedToo) {
  RankHealth health(2);
  for (int batch = 0; batch < 10'000; ++batch) {
    health.note_done(0, 8, 0);
    health.note_done(1, 8, 0);
  }
  for (int batch = 0; batch < 60; ++batch) {
    health.note_done(0, 8, 0);
    health.note_done(1, 8, 8);
    health.note_settled(1, 8, 8);
  }
  EXPECT_TRUE(health.fails_alone(1));
  EXPECT_FALSE(health.fails_alone(0));
}

TEST(RankHealth, AFlakyServerThatAllShareBlamesNobody) {
  RankHealth health(2);
  for (int batch = 0; batch < 100; ++batch)
    for (const int rank : {0, 1}) {
      health.note_done(rank, 8, 4);
      health.note_settled(rank, 4, 4);
    }
  EXPECT_FALSE(health.fails_alone(0) || health.fails_alone(1));
}

} // namespace
} // namespace mgpu::agent::dispatch
