// What becomes of the items of a run: their rows, what a person reads, the exit code.
#include "agent/items/item_workload.hpp"

#include <csignal>

#include "agent/items/item_rig.hpp"

namespace mgpu::agent {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;

TEST_F(ItemTest, EveryItemEndsInItsRow) {
  begin(10);
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(ended.outcome.done, 10U);
  EXPECT_THAT(rows(), ElementsAre("0", "2", "4", "6", "8", "10", "12", "14", "16", "18"));
  EXPECT_TRUE(write::ReadFile(setup_.output).complete());
}

TEST_F(ItemTest, RanksThatAnnounceOtherColumnsAreNoOneRun) {
  configure(10, {"a", "b"});
  open_rank(0);
  wire::Opened other;
  other.columns = {{"thrice", DType::float64, Layout::fixed, {}}};
  open(1, other);
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_THAT(ended.text, HasSubstr("two ranks announced different output columns"));
  EXPECT_THAT(files(), Each(Not(HasSubstr("partial")))) << "nothing is left behind";
}

// --- results that nobody waits for ------------------------------------------------------------------------------------------

TEST_F(ItemTest, ALateResultOfALeaseThatWasGivenBackDoesNotCount) {
  begin(12);
  const wire::BatchRange late = take(1);
  die(1, {.reason = "killed by signal 9"}, false);
  answer(1, late, {}, 500);
  round();
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(ended.outcome.done, 12U);
  EXPECT_THAT(rows(), ElementsAre("0", "2", "4", "6", "8", "10", "12", "14", "16", "18", "20", "22"));
}

TEST_F(ItemTest, ASecondAnswerDoesNotCount) {
  begin(8);
  const wire::BatchRange range = take(0);
  answer(0, range);
  answer(0, range, {}, 500);
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.outcome.done, 8U);
  EXPECT_THAT(rows(), ElementsAre("0", "2", "4", "6", "8", "10", "12", "14"));
}

TEST_F(ItemTest, WhatALostRankStillSaysDoesNotCount) {
  begin(12);
  const wire::BatchRange late = take(1);
  messenger_->dead = {1};
  round();
  answer(1, late, {}, 500);
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(rows().at(late.first + 1), fmt::format("{}", 2 * (late.first + 1)));
}

TEST_F(ItemTest, AMalformedResultCostsTheRankNotTheRun) {
  begin(12);
  arrive({1, Type::results, wire::Buffer(256), {}});
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_THAT(rows(), Not(Contains("pending")));
  EXPECT_THAT(said(), HasSubstr("rank 1 on b is out of the run: it sent what cannot be read"));
}

TEST_F(ItemTest, ARowOfABatchThatTheRankDoesNotHoldChangesNothing) {
  begin(12);
  answer(1, held(0).front(), {}, 500);
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  EXPECT_EQ(rows().at(1), "2");
}

// --- ranks and workers that are lost ----------------------------------------------------------------------------------------

TEST_F(ItemTest, TheOthersDoTheWorkOfALostRank) {
  begin(12, {"a", "b", "c"});
  messenger_->dead = {1};
  const Ended ended = end_working({0, 2});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_THAT(rows(), Not(Contains("pending")));
  EXPECT_THAT(said(), HasSubstr("rank 1 on b is out of the run: its agent died; others do its work"));
}

TEST_F(ItemTest, ARankThatIsLostAfterTheWorkCostsNothing) {
  begin(8);
  until([&] {
    work(0);
    while (!held(1).empty()) answer(1, take(1));
    return count(1, Type::finish) > 0;
  });
  messenger_->dead = {1};
  EXPECT_EQ(end().code, ExitCode::ok);
  EXPECT_THAT(rows(), Not(Contains("pending")));
  EXPECT_THAT(said(), Not(HasSubstr("out of the run")));
}

TEST_F(ItemTest, WithoutARankThereIsNoRun) {
  begin(8);
  die(1, {.reason = "exit code 1", .retired = 1}, false);
  say(0, Type::died, wire::Died{.reason = "exit code 1", .retired = 1});
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::failed);
  EXPECT_EQ(ended.text, "no rank is left; the last, rank 0 on a: its worker died 1 times, the last time: exit code 1");
  EXPECT_THAT(files(), Each(AllOf(Not(HasSubstr("partial")), Not(HasSubstr("journal")))))
      << "nothing was done, nothing is left behind";
}

TEST_F(ItemTest, AWorkerThatDiesWhileItOpensAgainIsReplaced) {
  begin(8);
  die(1, {.reason = "killed by signal 11"}, false);
  for (int death = 0; death < 3; ++death) {
    say_hello(1);
    round();
    die(1, {.reason = "killed by signal 11"}, false);
  }
  EXPECT_TRUE(held(1).empty());
  say_hello(1);
  round();
  open_rank(1);
  round();
  EXPECT_EQ(end_working({0, 1}).code, ExitCode::ok);
  EXPECT_THAT(rows(), Not(Contains("pending")));
}

TEST_F(ItemTest, AnItemThatEndsItsWorkersFails) {
  setup_.retries = 1;
  begin(8, {"a"});
  for (int death = 1; death <= 2; ++death) {
    const auto holds_it = [&] { // with its batch, later alone
      if (held(0).empty()) return false;
      const wire::BatchRange& range = held(0).front();
      return range.batch == 0 && (range.wanted_rows == 0 || range.wanted_begin == 2);
    };
    ASSERT_TRUE(until([&] {
      while (!held(0).empty() && !holds_it()) answer(0, take(0));
      return holds_it();
    }));
    wire::Died died{.reason = "killed by signal 11 while preparing item 2", .last_words = "double free\n"};
    died.certain = 1;
    died.suspects = {{0, 2, 1, 0}};
    die(0, died);
  }
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::items_failed);
  EXPECT_THAT(rows(), ElementsAre("0", "2", "failed", "6", "8", "10", "12", "14"));
  EXPECT_EQ(reason(2),
            "2 worker(s) died over it; the last on rank 0 (a): killed by signal 11 while preparing item 2; it said: "
            "double free");
}

TEST_F(ItemTest, WhatOneRankCannotReadAnotherDoes) {
  begin(4, {"a", "b"});
  until([&] { return !held(0).empty() || !held(1).empty(); });
  const int first = held(0).empty() ? 1 : 0;
  answer(first, take(first), {{1, "no such file", Cause::io}});
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_THAT(rows(), ElementsAre("0", "2", "4", "6"));
}

TEST_F(ItemTest, WhatNoRankCanReadFails) {
  begin(4, {"a", "b"});
  const Ended ended = end([&] {
    for (const int rank : {0, 1}) {
      while (!held(rank).empty()) answer(rank, take(rank), {{1, "no such file", Cause::io}});
      work(rank);
    }
  });
  EXPECT_EQ(ended.code, ExitCode::items_failed);
  EXPECT_THAT(rows(), ElementsAre("0", "failed", "4", "6"));
  EXPECT_EQ(reason(1), "no such file");
  EXPECT_EQ(ended.outcome.failed, 1U);
}

TEST_F(ItemTest, ARankThatFailsWhatOthersCanDoIsPutAside) {
  begin(200);
  const Ended ended = end([&] {
    while (!held(1).empty()) {
      const wire::BatchRange range = take(1);
      std::vector<Bad> bad;
      const std::uint32_t begin = range.wanted_rows == 0 ? 0 : range.wanted_begin;
      const auto rows = range.wanted_rows == 0 ? static_cast<std::uint32_t>(range.items.size()) : range.wanted_rows;
      for (std::uint32_t row = begin; row < begin + rows; ++row) bad.push_back({row, "the mount is gone", Cause::io});
      answer(1, range, bad);
    }
    work(0);
  });
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_THAT(rows(), Not(Contains("failed")));
  EXPECT_THAT(said(), AllOf(HasSubstr("rank 1 on b is out of the run: of its last"), HasSubstr("by \"the mount is gone\"")));
}

TEST_F(ItemTest, ASharedReasonOfAllItemsIsSaidEarly) {
  begin(100, {"a"}, 50);
  const Ended ended = end([&] {
    while (!held(0).empty()) {
      const wire::BatchRange range = take(0);
      std::vector<Bad> bad;
      for (std::uint32_t row = 0; row < range.items.size(); ++row) bad.push_back({row, "no such file", Cause::io});
      answer(0, range, bad);
    }
    work(0);
  });
  EXPECT_EQ(ended.code, ExitCode::items_failed);
  EXPECT_THAT(said(), HasSubstr("the first 100 items all failed, for one reason: no such file. Are the paths right?"));
}

TEST_F(ItemTest, ARunThatFailsTooMuchIsStopped) {
  setup_.max_failures = 2;
  begin(40, {"a"});
  const Ended ended = end([&] {
    while (!held(0).empty()) answer(0, take(0), {{3, "truncated JPEG"}});
    work(0);
  });
  EXPECT_EQ(ended.code, ExitCode::stopped);
  EXPECT_EQ(ended.text, "3 items failed, --max-failures allows 2");
}

} // namespace
} // namespace mgpu::agent
