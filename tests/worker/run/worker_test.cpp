// A worker driven through its socket and ring by a made-up job whose items say, by their names, what shall go wrong.
#include "worker/run/worker.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "common/wire/control_messages.hpp"
#include "worker/run/fake_work.hpp"
#include "worker/run/rig.hpp"

namespace mgpu::worker {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(Worker, SaysHelloThenOpensWithItsColumns) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(4));
  ASSERT_TRUE(rig.receive_until([&] { return !rig.opened.empty(); }));
  ASSERT_EQ(rig.hellos.size(), 1u);
  EXPECT_EQ(rig.hellos[0].pid, getpid());
  EXPECT_FALSE(rig.hellos[0].versions.torch.empty());
  EXPECT_EQ(rig.hellos[0].devices.empty(), !rig.hellos[0].device_note.empty());
  const auto& columns = rig.opened[0].columns;
  ASSERT_EQ(columns.size(), 3u);
  EXPECT_EQ(columns[0], (ColumnSpec{"value", DType::float32, Layout::fixed, {2}}));
  EXPECT_EQ(columns[1], (ColumnSpec{"list", DType::int64, Layout::ragged, {}}));
  EXPECT_EQ(columns[2].layout, Layout::text);
  EXPECT_EQ(rig.opened[0].device, "cpu");
  EXPECT_THAT(rig.opened[0].labels, ElementsAre("a", "b"));
}

TEST(Worker, GivesEveryBatchInTheOrderGrantedThenDrainsAndEnds) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(4, 3));
  constexpr std::uint64_t batches = 40;
  for (std::uint64_t batch = 0; batch < batches; ++batch)
    rig.grant(batch, batch * 4, paths(batch == batches - 1 ? 3 : 4, batch % 5 == 0 ? "slow" : "good"));
  rig.finish();
  rig.receive_all();
  EXPECT_EQ(rig.exit_code, 0);
  ASSERT_EQ(rig.results.size(), batches);
  for (std::uint64_t batch = 0; batch < batches; ++batch) {
    const auto result = rig.results[batch].view();
    EXPECT_EQ(result.batch, batch);
    EXPECT_EQ(result.first, batch * 4);
    ASSERT_EQ(result.rows(), batch == batches - 1 ? 3u : 4u);
    const auto values = rig.results[batch].values<float>(0);
    for (std::size_t row = 0; row < result.rows(); ++row) {
      EXPECT_EQ(result.status[row], 1);
      EXPECT_GT(result.seconds[row], 0.0f);
      EXPECT_EQ(values[row * 2], static_cast<float>(2 * (batch * 4 + row)));
      EXPECT_EQ(result.columns[1].counts[row], (batch * 4 + row) % 3);
      EXPECT_EQ(result.columns[2].counts[row], ("word " + std::to_string(batch * 4 + row)).size());
    }
  }
  ASSERT_EQ(rig.stats.size(), 1u);
  EXPECT_EQ(rig.stats[0].items, batches * 4 - 1);
  EXPECT_EQ(rig.stats[0].batches, batches);
  EXPECT_EQ(rig.stats[0].failed, 0u);
  EXPECT_GT(rig.stats[0].busy_s, 0.0);
  EXPECT_GT(rig.stats[0].load_s, 0.03);
}

TEST(Worker, ARowThatCannotBePreparedCostsOnlyItself) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(4));
  rig.grant(0, 0, {"good", "prepare-fails", "good", "prepare-fails"});
  ASSERT_TRUE(rig.receive_results(1));
  const Received& received = rig.results[0];
  EXPECT_THAT(received.errors(), ElementsAre(Pair(1, "cannot be read"), Pair(3, "cannot be read")));
  const auto values = received.values<float>(0);
  EXPECT_EQ(values[0], 0.0f);
  EXPECT_TRUE(std::isnan(values[2]) && std::isnan(values[3]));
  EXPECT_EQ(values[4], 4.0f);
  EXPECT_EQ(received.view().columns[1].counts[1], 0u);
  EXPECT_EQ(received.view().columns[2].counts[1], 0u);
  EXPECT_THAT(received.view().flags, testing::Each(0)) << "a blanked row is not a NaN output";
}

TEST(Worker, ABatchThatThrowsIsHalvedDownToTheRowsThatFailAlone) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(8));
  std::vector<std::string> names = paths(8);
  names[2] = names[7] = "run-fails";
  rig.grant(0, 0, names);
  ASSERT_TRUE(rig.receive_results(1));
  EXPECT_THAT(rig.results[0].errors(), ElementsAre(Pair(2, "this row cannot be run"), Pair(7, "this row cannot be run")));
  const auto values = rig.results[0].values<float>(0);
  const auto result = rig.results[0].view();
  std::size_t text_at = 0;
  for (std::size_t row = 0; row < 8; ++row) {
    if (row == 2 || row == 7) continue;
    EXPECT_EQ(values[row * 2], 2.0f * static_cast<float>(row)) << "row " << row;
    const std::string word(reinterpret_cast<const char*>(result.columns[2].data.data()) + text_at, result.columns[2].counts[row]);
    EXPECT_EQ(word, "word " + std::to_string(row));
    text_at += word.size();
  }
}

TEST(Worker, NotFiniteIsAFlagAndTheJobsOwnFailuresCount) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(4));
  rig.grant(7, 0, {"nan", "good", "job-fails", "good"});
  ASSERT_TRUE(rig.receive_results(1));
  const auto result = rig.results[0].view();
  EXPECT_THAT(result.flags, ElementsAre(flag_not_finite, 0, 0, 0));
  EXPECT_THAT(result.status, ElementsAre(1, 1, 2, 1));
  EXPECT_THAT(rig.results[0].errors(), ElementsAre(Pair(2, "the job does not like it")));
}

TEST(Worker, ABatchWithoutAGoodRowIsNotRun) {
  auto runs = std::make_shared<std::atomic<int>>(0);
  Rig rig([runs] { return std::make_unique<FakeWork>(runs); });
  rig.configure(rig.configuration(2));
  rig.grant(0, 0, paths(2, "prepare-fails"));
  ASSERT_TRUE(rig.receive_results(1));
  EXPECT_EQ(*runs, 1) << "the trial alone";
  EXPECT_EQ(rig.results[0].errors().size(), 2u);
}

TEST(Worker, AFullRingHoldsItBackAndThenTheSocketServes) {
  Rig rig(make_fake, 4096);
  rig.releases = false;
  rig.configure(rig.configuration(4));
  for (std::uint64_t batch = 0; batch < 14; ++batch) rig.grant(batch, batch * 4, paths(4));
  ASSERT_TRUE(rig.receive_results(14));
  const auto shared = std::count_if(rig.results.begin(), rig.results.end(), [](const Received& result) { return result.shared; });
  EXPECT_GT(shared, 2);
  EXPECT_LT(shared, 14);
  for (std::uint64_t batch = 0; batch < 14; ++batch) EXPECT_EQ(rig.results[batch].view().batch, batch);
  for (const wire::SharedRange range : rig.held) rig.agent().send(wire::Type::release, range);
  rig.grant(14, 56, paths(4));
  ASSERT_TRUE(rig.receive_results(15));
  EXPECT_TRUE(rig.results[14].shared) << "room again";
}

TEST(Worker, AResultLargerThanTheRingGoesThroughTheSocket) {
  Rig rig(make_fake, 4096);
  rig.configure(rig.configuration(512));
  rig.grant(0, 0, paths(512));
  ASSERT_TRUE(rig.receive_results(1));
  EXPECT_FALSE(rig.results[0].shared);
  EXPECT_EQ(rig.results[0].values<float>(0)[1022], 1022.0f);
}

TEST(Worker, EndsWhenTheAgentIsGone) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(4));
  for (std::uint64_t batch = 0; batch < 20; ++batch) rig.grant(batch, batch * 4, paths(4, "slow"));
  ASSERT_TRUE(rig.receive_results(1));
  rig.hang_up(); // ~Rig joins the worker
}

TEST(Worker, EndsWhenToldBeforeAnyWork) {
  Rig rig(make_fake);
  rig.finish();
  rig.receive_all();
  EXPECT_EQ(rig.exit_code, 0);
}

class BrokenWork : public FakeWork {
 public:
  void run(const Batch&, Outputs&) override { throw std::runtime_error("expected 3 channels, got 4\nframe #0\n"); }
};

TEST(Worker, AModelThatCannotRunItsOwnInputIsSaidBeforeAnyWork) {
  Rig rig([] { return std::make_unique<BrokenWork>(); });
  rig.configure(rig.configuration(4));
  rig.receive_all();
  ASSERT_EQ(rig.failures.size(), 1u);
  EXPECT_EQ(rig.failures[0].exit_code, 2);
  EXPECT_EQ(rig.failures[0].text, "a trial batch of 4 rows failed: expected 3 channels, got 4");
  EXPECT_EQ(rig.exit_code, 2);
}

/// Announces [B, 2], then gives another width for batches that begin with a "wide" item.
class WideWork : public FakeWork {
 public:
  using FakeWork::FakeWork;
  void run(const Batch& batch, Outputs& outputs) override {
    ++*runs_;
    outputs.add("value", torch::zeros({batch.size(), batch.items[0]->path == "wide" ? 3 : 2}));
  }
};

TEST(Worker, OutputsOtherThanAnnouncedFailTheBatchAtOnce) {
  auto runs = std::make_shared<std::atomic<int>>(0);
  Rig rig([runs] { return std::make_unique<WideWork>(runs); });
  rig.configure(rig.configuration(4));
  rig.grant(0, 0, {"wide", "good", "good", "good"});
  rig.grant(1, 4, paths(4));
  ASSERT_TRUE(rig.receive_results(2));
  EXPECT_EQ(rig.results[0].errors().size(), 4u);
  EXPECT_THAT(rig.results[0].errors()[0], AllOf(HasSubstr("float32 [3]"), HasSubstr("announced as float32 [2]")));
  EXPECT_TRUE(rig.results[1].errors().empty());
  EXPECT_EQ(*runs, 3) << "trial, wide batch, good batch: nothing is halved";
}

/// Rows of different length, nothing known before the first batch.
class LengthWork : public Work {
 public:
  void open(const RankContext&) override {}
  torch::Tensor trial_row(int) const override { return {}; }
  void prepare(const Item& item, Sample& sample) override {
    sample.input = torch::ones({static_cast<std::int64_t>(item.index) + 1});
  }
  void run(const Batch& batch, Outputs& outputs) override {
    outputs.add("sum", batch.input.sum(1).to(torch::kBFloat16));
    outputs.add("length", batch.lengths);
  }
};

TEST(Worker, PadsRowsAndAnnouncesColumnsWithTheFirstBatch) {
  Rig rig([] { return std::make_unique<LengthWork>(); });
  rig.configure(rig.configuration(3));
  rig.grant(0, 0, paths(3));
  ASSERT_TRUE(rig.receive_results(1));
  ASSERT_EQ(rig.opened.size(), 2u);
  EXPECT_TRUE(rig.opened[0].columns.empty());
  EXPECT_EQ(rig.opened[1].columns[0], (ColumnSpec{"sum", DType::float32, Layout::fixed, {}})) << "bfloat16 is widened";
  EXPECT_THAT(rig.results[0].values<float>(0), ElementsAre(1, 2, 3));
  EXPECT_THAT(rig.results[0].values<std::int64_t>(1), ElementsAre(1, 2, 3));
}

TEST(Worker, TracesWhatItDid) {
  Rig rig(make_fake);
  auto configure = rig.configuration(2);
  configure.trace = 1;
  configure.rank = 5;
  rig.configure(configure);
  rig.grant(9, 0, paths(2));
  rig.finish();
  rig.receive_all();
  std::map<std::string, int> names;
  for (const auto& event : nlohmann::json::parse("[" + rig.trace + "]")) {
    EXPECT_EQ(event["pid"], 5);
    ++names[event["name"]];
  }
  for (const char* name : {"process_name", "thread_name", "open", "load", "run", "result"}) EXPECT_GE(names[name], 1) << name;
}

TEST(Worker, ManyTinyBatchesArePassedOnWithoutLoss) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(1));
  constexpr std::uint64_t batches = 5000;
  std::uint64_t granted = 0;
  while (rig.results.size() < batches) {
    while (granted < batches && granted < rig.results.size() + 64) {
      rig.grant(granted, granted, {"good"});
      ++granted;
    }
    ASSERT_TRUE(rig.receive_results(std::min<std::size_t>(rig.results.size() + 1, batches)));
  }
  for (std::uint64_t batch = 0; batch < batches; ++batch) {
    EXPECT_EQ(rig.results[batch].view().batch, batch);
    EXPECT_EQ(rig.results[batch].values<float>(0)[0], 2.0f * static_cast<float>(batch));
  }
}

} // namespace
} // namespace mgpu::worker
