// Runs with --shard: workers know the numbers of the whole manifest, the file has the shard's rows.
#include <signal.h>

#include "agent/items/item_rig.hpp"

namespace mgpu::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ShardRun : public ItemTest {
 protected:
  /// All ranks of a run of the shard that was cut out have opened the model.
  void begin_cut(std::vector<std::string> nodes = {"a", "b"}) {
    again(std::move(nodes));
    for (int rank = 0; rank < size(); ++rank) open_rank(rank);
    ASSERT_TRUE(until([&] { return !held(0).empty(); }));
  }
  std::string shard_in_file() const { return write::ReadFile(setup_.output).text("shard"); }
};

TEST_F(ShardRun, ResultsDependOnTheWholeManifestsNumbers) {
  cut(2, 3, 30); // 8 batches: 0-2, 3-5, 6-7
  begin_cut();
  EXPECT_EQ(held(0).front().first, 12U);
  EXPECT_EQ(held(0).front().items.front().index, 12U);
  EXPECT_EQ(held(0).front().items.front().path, folder_ / "item12");
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::ok);
  EXPECT_EQ(ended.outcome.done, 12U);
  EXPECT_THAT(rows(), ElementsAre("24", "26", "28", "30", "32", "34", "36", "38", "40", "42", "44", "46"));
  const write::ReadFile file(setup_.output);
  EXPECT_EQ(file.text("shard"), "2/3");
  EXPECT_EQ(file.number("first_item"), 12);
  EXPECT_EQ(file.number("manifest_items"), 30);
  EXPECT_THAT(said(), HasSubstr("Shard 2/3: items 12 to 23 of the input's 30"));
}

TEST_F(ShardRun, FailedAndSuspectedItemsAreThoseOfTheWholeManifest) {
  setup_.retries = 1;
  cut(3, 3, 30); // batches 24-27 and 28-29
  begin_cut({"a"});
  answer(0, take(0), {{1, "no picture"}});
  round();
  // Its worker dies over item 29, row 1 of the shard's last batch, until its tries are over.
  for (int death = 1; death <= 2; ++death) {
    const auto holds_it = [&] { // with its batch, later alone
      if (held(0).empty()) return false;
      const wire::BatchRange& range = held(0).front();
      return range.batch == 1 && (range.wanted_rows == 0 || range.wanted_begin == 1);
    };
    ASSERT_TRUE(until([&] {
      while (!held(0).empty() && !holds_it()) answer(0, take(0));
      return holds_it();
    }));
    die(0, {.reason = "killed by signal 11", .certain = 1, .suspects = {{1, 29, 1}}});
  }
  const Ended ended = end_working({0});
  EXPECT_EQ(ended.code, ExitCode::items_failed);
  EXPECT_THAT(rows(), ElementsAre("48", "failed", "52", "54", "56", "failed"));
  EXPECT_EQ(reason(1), "no picture");
  EXPECT_THAT(reason(5), HasSubstr("worker(s) died over it"));
  EXPECT_THAT(said(), HasSubstr("item 25 "));
  EXPECT_THAT(said(), HasSubstr("item 29 "));
}

TEST_F(ShardRun, AShardWithoutItemsIsCompleteAtOnce) {
  cut(3, 3, 5);
  again({"a", "b"});
  for (int rank = 0; rank < size(); ++rank) open_rank(rank);
  const Ended ended = end_working({0, 1});
  EXPECT_EQ(ended.code, ExitCode::ok) << ended.text;
  const write::ReadFile file(setup_.output);
  EXPECT_TRUE(file.complete());
  EXPECT_EQ(file.size(), 0U);
  EXPECT_THAT(file.status(), IsEmpty());
  EXPECT_THAT(said(), HasSubstr("none of the input's 5 items"));
}

TEST_F(ShardRun, AnotherShardDoesNotContinueIt) {
  cut(1, 2, 80);
  begin_cut({"a"});
  process_.signal = {SIGTERM, 0, 0};
  ASSERT_GT(end_working({0}).outcome.done, 0U);
  process_.signal = {};
  setup_.resume = true;
  cut(2, 2, 80);
  link_.posted.clear();
  start([](RunControl& control) { return std::make_unique<ItemWorkload>(control); }, {"a"});
  join_all();
  const Ended ended = end();
  EXPECT_EQ(ended.code, ExitCode::usage);
  EXPECT_THAT(ended.text, HasSubstr("--shard: 1/2 then, 2/2 now"));
}

} // namespace
} // namespace mgpu::agent
