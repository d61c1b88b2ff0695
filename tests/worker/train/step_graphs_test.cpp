// Passes recorded as on a GPU, where host code runs once.
#include "worker/train/step_graphs.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <utility>

#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Two parameters, each with a bucket of its own, whose gradients are the sums of input and targets.
class TwoBuckets final : public Training {
 public:
  std::vector<NamedTensor> in_order{{"second", torch::ones({300'000}).requires_grad_(true)},
                                    {"first", torch::ones({3}).requires_grad_(true)}};
  int losses = 0; ///< how often host code ran
  bool one_only = false;

  void open(const RankContext&) override {}
  std::vector<NamedTensor> parameters() override { return in_order; }
  void set_training(bool) override {}
  void prepare(const Item&, const Variation&, Sample&) override {}
  torch::Tensor loss(const Batch& batch) override {
    ++losses;
    const torch::Tensor loss = in_order[1].tensor.sum() * batch.targets.at(0).sum();
    return one_only ? loss : loss + in_order[0].tensor.sum() * batch.input.sum();
  }
  void evaluate(const Batch&, Sums&) override {}
  void save(const std::string&) override {}
};

/// Does what a GPU does with gradients: what a pass writes while it is recorded is not there afterwards; a replay writes it, without its
/// host code. Gradients in these tests are small, so it sees whether a pass copied them or added them to a large number.
class TapeRecorder final : public Recorder {
 public:
  TapeRecorder(float* gradients, std::size_t count) : gradients_(gradients, count) {}
  bool out_of_memory = false; ///< in the next recording, at its end

  void warm_up(const std::function<void()>& pass) override { pass(); }
  std::unique_ptr<Recording> record(std::function<void()> pass) override {
    const std::vector<float> before(gradients_.begin(), gradients_.end());
    constexpr float large = 1 << 20;
    std::fill(gradients_.begin(), gradients_.end(), large);
    milestones_ = 0;
    pass();
    auto tape = std::make_unique<Tape>();
    tape->gradients = gradients_;
    tape->adds = std::all_of(gradients_.begin(), gradients_.end(), [](float number) { return number >= large; });
    tape->milestones = milestones_;
    for (const float number : gradients_) tape->numbers.push_back(tape->adds ? number - large : number);
    std::copy(before.begin(), before.end(), gradients_.begin());
    TORCH_CHECK_WITH(OutOfMemoryError, !std::exchange(out_of_memory, false), "out of memory, as the test asked");
    return tape;
  }
  void milestone() override { ++milestones_; }

 private:
  struct Tape final : Recording {
    void replay(const std::function<void(std::size_t)>& reached) override {
      for (std::size_t at = 0; at < numbers.size(); ++at) gradients[at] = numbers[at] + (adds ? gradients[at] : 0);
      for (std::size_t at = 0; at < milestones; ++at) reached(at);
    }
    std::span<float> gradients;
    std::vector<float> numbers;
    bool adds = false;
    std::size_t milestones = 0;
  };

  std::span<float> gradients_;
  std::size_t milestones_ = 0;
};

class StepGraphsTest : public testing::Test {
 protected:
  static Batch rows(std::int64_t count, float value = 2) {
    static const Item item{0, "good", false, "", {}};
    static const std::any none;
    Batch batch;
    batch.input = torch::full({count, 1}, value);
    batch.targets = {torch::full({count}, 1.0F)};
    batch.items.assign(static_cast<std::size_t>(count), &item);
    batch.extra.assign(static_cast<std::size_t>(count), &none);
    batch.ok.assign(static_cast<std::size_t>(count), true);
    return batch;
  }
  float gradient(std::size_t parameter) { return exchange_.gradients()[gradients_.network().placed[parameter].offset]; }
  /// A step of so many passes of four rows.
  void step(int passes, double weight = 1) {
    gradients_.begin_step();
    exchange_.announced.clear();
    for (int pass = 0; pass < passes; ++pass) ASSERT_TRUE(graphs_.run(rows(4), weight, pass + 1 == passes));
    EXPECT_THAT(exchange_.announced, ElementsAre(0, 1));
    EXPECT_TRUE(gradients_.end_step().empty());
  }

  TwoBuckets training_;
  RankContext context_;
  FlatNetwork network_ = lay_out(training_.in_order, true);
  NotingExchange exchange_{network_.layout.elements};
  Gradients gradients_{network_, exchange_, torch::kCPU};
  TapeRecorder recorder_{exchange_.gradients(), network_.layout.elements};
  StepGraphs graphs_{recorder_, training_, gradients_, exchange_, context_};
};

TEST_F(StepGraphsTest, ReplaysWithoutHostCode) {
  for (int each = 0; each < StepGraphs::passes_before; ++each) {
    step(1);
    EXPECT_EQ(graphs_.recorded(), 0u);
  }
  for (int each = 0; each < 4; ++each) {
    exchange_.gradients()[0] = 99; // of an earlier step
    step(1);
    EXPECT_EQ(gradient(0), 8.0F);
    EXPECT_EQ(gradient(1), 4.0F);
  }
  EXPECT_EQ(graphs_.recorded(), 1u);
  EXPECT_EQ(training_.losses, StepGraphs::passes_before + 1);
}

TEST_F(StepGraphsTest, HasARecordingForEachKindOfPass) {
  for (int each = 0; each < 4; ++each) {
    step(4);
    EXPECT_EQ(gradient(0), 32.0F);
    EXPECT_EQ(gradient(1), 16.0F);
  }
  EXPECT_EQ(graphs_.recorded(), 3u); // first, between, last
  // In the first step three passes as usual and the last one's recording, in the second the other two.
  EXPECT_EQ(training_.losses, StepGraphs::passes_before + 3);
}

TEST_F(StepGraphsTest, MixesWithPassesRunAsUsual) {
  for (int each = 0; each < StepGraphs::passes_before; ++each) step(1);
  gradients_.begin_step();
  exchange_.announced.clear();
  ASSERT_TRUE(graphs_.run(rows(4), 1, false));
  gradients_.begin_backward(true); // a partial last batch
  training_.loss(rows(2)).backward();
  EXPECT_EQ(gradient(0), 12.0F);
  EXPECT_THAT(exchange_.announced, ElementsAre(0, 1));
}

TEST_F(StepGraphsTest, ARecordingThatFailsHasDoneNothing) {
  for (int each = 0; each < StepGraphs::passes_before; ++each) step(1);
  gradients_.begin_step();
  exchange_.announced.clear();
  recorder_.out_of_memory = true;
  EXPECT_THROW(graphs_.run(rows(4), 1, true), c10::OutOfMemoryError);
  EXPECT_EQ(gradients_.finished(), std::vector<bool>(2, false));
  EXPECT_EQ(gradients_.written(), Gradients::Written::none);
  EXPECT_TRUE(exchange_.announced.empty());
  graphs_.drop();
  gradients_.begin_part(true, gradients_.finished());
  training_.loss(rows(4)).backward();
  EXPECT_EQ(gradient(0), 8.0F);
  EXPECT_THAT(exchange_.announced, ElementsAre(0, 1));
}

TEST_F(StepGraphsTest, LeavesOtherRowsToTheCaller) {
  gradients_.begin_step();
  gradients_.begin_part(false, {true, false}); // after running out of memory
  training_.loss(rows(4)).backward();
  EXPECT_FALSE(graphs_.run(rows(4), 1, false)) << "one parameter must be written, the other added to";
  gradients_.begin_step();
  for (std::int64_t count = 1; count <= static_cast<std::int64_t>(StepGraphs::most_shapes); ++count)
    EXPECT_TRUE(graphs_.run(rows(count), 1, false));
  EXPECT_FALSE(graphs_.run(rows(9), 1, false)) << "too many shapes";
  Batch longer = rows(4);
  longer.targets = {torch::ones({4, 2})};
  EXPECT_FALSE(graphs_.run(longer, 1, false)) << "another shape of as many rows";
}

TEST_F(StepGraphsTest, KeepsWhichParametersAPassLeftOut) {
  training_.one_only = true;
  for (int each = 0; each < StepGraphs::passes_before + 2; ++each) {
    gradients_.begin_step();
    ASSERT_TRUE(graphs_.run(rows(4), 1, true));
    EXPECT_THAT(gradients_.end_step(), ElementsAre("second"));
  }
}

TEST(Recorder, OnACpuWeightRowsAndTargetsAreReadAtEachReplay) {
  TwoBuckets training;
  const RankContext context;
  NotingExchange exchange(lay_out(training.in_order, true).layout.elements);
  Gradients gradients(lay_out(training.in_order, true), exchange, torch::kCPU);
  const auto recorder = Recorder::open(torch::kCPU);
  StepGraphs graphs(*recorder, training, gradients, exchange, context);
  static const Item item;
  for (int each = 1; each < 8; ++each) {
    Batch rows;
    rows.items = {&item};
    rows.input = torch::full({1, 1}, static_cast<float>(each));
    rows.targets = {torch::full({1}, static_cast<float>(10 * each))};
    gradients.begin_step();
    EXPECT_EQ(graphs.run(rows, each, true)->item<float>(), static_cast<float>(each * 300'000 + 10 * each * 3));
    EXPECT_EQ(exchange.gradients()[0], static_cast<float>(each * each));
    EXPECT_EQ(exchange.gradients()[gradients.network().placed[1].offset], static_cast<float>(10 * each * each));
  }
  EXPECT_EQ(graphs.recorded(), 1u);
}

TEST(Recorder, SaysInTheTrialWhatCannotBeRecorded) {
  struct ReadsItems final : SmallTraining {
    torch::Tensor loss(const Batch& batch) override {
      if (batch.items[0]->path.empty()) throw Error("label '' is empty");
      return SmallTraining::loss(batch);
    }
  } reads;
  const std::vector<Item> items{{0, "good", false, "", {}}};
  const auto recorder = Recorder::open(torch::kCPU);
  try {
    check_recording(reads, TrialBatch(reads, items, 4, torch::kCPU).batch, *recorder, RankContext{});
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), HasSubstr("--cuda-graph: this network or its loss cannot be recorded"));
    EXPECT_THAT(error.what(), HasSubstr("label '' is empty"));
  }
  SmallTraining plain;
  check_recording(plain, TrialBatch(plain, items, 4, torch::kCPU).batch, *recorder, RankContext{});
  for (const NamedTensor& each : plain.parameters()) EXPECT_FALSE(each.tensor.grad().defined()) << each.name;
}

} // namespace
} // namespace mgpu::worker::train
