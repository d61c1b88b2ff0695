#include "mgpu/ctc.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

namespace mgpu::worker {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

const CtcSpec spec{{"<blank>", "a", "b", " ", "ch"}, 0, 0.02};

/// [1, T, V] log-probabilities whose best classes are these.
torch::Tensor frames_of(const std::vector<std::int64_t>& best) {
  torch::Tensor scores = torch::full({1, static_cast<std::int64_t>(best.size()), 5}, -9.0f);
  for (std::size_t i = 0; i < best.size(); ++i) scores[0][static_cast<std::int64_t>(i)][best[i]] = -0.1f;
  return scores;
}

TEST(Ctc, RepeatsAndBlanksGoAndWordsHaveTimes) {
  const torch::Tensor scores = frames_of({0, 1, 1, 0, 1, 3, 3, 0, 4, 4, 2, 0, 2});
  const auto whole = greedy_transcripts(scores, {13}, spec).front();
  EXPECT_EQ(whole.text, "aa chbb");
  ASSERT_EQ(whole.words.size(), 2u);
  EXPECT_THAT(whole.words[0], ElementsAre(FloatEq(0.02f), FloatEq(0.1f)));
  EXPECT_THAT(whole.words[1], ElementsAre(FloatEq(0.16f), FloatEq(0.26f)));
  EXPECT_EQ(greedy_transcripts(scores, {7}, spec).front().text, "aa ");
  EXPECT_TRUE(greedy_transcripts(scores, {1}, spec).front().words.empty());
  EXPECT_THROW(greedy_transcripts(torch::zeros({1, 3, 4}), {3}, spec), Error) << "another vocabulary";
}

TEST(Ctc, FramesAreReportedElseInProportionElseAll) {
  Batch batch;
  batch.items.assign(2, nullptr);
  batch.input = torch::zeros({2, 1, 100});
  const torch::Tensor scores = torch::zeros({2, 10, 5});
  EXPECT_THAT(ctc_frames({scores}, batch), ElementsAre(10, 10));
  batch.lengths = torch::tensor({100, 41}, torch::kLong);
  EXPECT_THAT(ctc_frames({scores}, batch), ElementsAre(10, 5));
  EXPECT_THAT(ctc_frames({scores, torch::tensor({3, 99}, torch::kLong)}, batch), ElementsAre(3, 10));
}

TEST(Ctc, ColumnsAreTextAndWords) {
  Batch batch;
  batch.items.assign(2, nullptr);
  Outputs outputs;
  const torch::Tensor scores = torch::cat({frames_of({1, 3, 2}), frames_of({0, 0, 0})});
  add_transcripts({scores}, batch, spec, outputs);
  ASSERT_EQ(outputs.columns.size(), 2u);
  EXPECT_EQ(outputs.columns[0].name, "text");
  EXPECT_THAT(outputs.columns[0].text, ElementsAre("a b", ""));
  EXPECT_EQ(outputs.columns[1].name, "words");
  EXPECT_TRUE(torch::allclose(outputs.columns[1].ragged[0], torch::tensor({{0.f, 0.02f}, {0.04f, 0.06f}})));
  EXPECT_EQ(outputs.columns[1].ragged[1].sizes(), torch::IntArrayRef({0, 2}));
  EXPECT_THROW(add_transcripts({torch::zeros({2, 3})}, batch, spec, outputs), Error);
}

} // namespace
} // namespace mgpu::worker
