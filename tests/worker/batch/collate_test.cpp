#include "worker/batch/collate.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

namespace mgpu::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

torch::Tensor allocate(at::IntArrayRef shape, torch::ScalarType type) {
  return torch::full(shape, 99, type);
}

std::vector<Sample> samples(std::vector<torch::Tensor> rows) {
  std::vector<Sample> samples;
  for (torch::Tensor& row : rows) samples.push_back({std::move(row), {}});
  return samples;
}

TEST(Collate, PadsTheLastDimensionWithZeros) {
  std::vector<std::string> errors(2);
  const auto batch = collate(samples({torch::ones({2, 3}), torch::full({2, 5}, 2.0)}), errors, allocate);
  EXPECT_TRUE(torch::equal(
      batch.input, torch::tensor({{{1., 1., 1., 0., 0.}, {1., 1., 1., 0., 0.}}, {{2., 2., 2., 2., 2.}, {2., 2., 2., 2., 2.}}})
                       .to(torch::kFloat)));
  EXPECT_TRUE(torch::equal(batch.lengths, torch::tensor({3, 5}, torch::kLong)));
  EXPECT_THAT(errors, ElementsAre("", ""));
}

TEST(Collate, KeepsTheElementType) {
  std::vector<std::string> errors(2);
  const auto batch =
      collate(samples({torch::tensor({7, 8}, torch::kShort), torch::tensor({9}, torch::kShort)}), errors, allocate);
  EXPECT_TRUE(torch::equal(batch.input, torch::tensor({{7, 8}, {9, 0}}, torch::kShort)));
}

TEST(Collate, CopiesRowsThatAreViews) {
  std::vector<std::string> errors(1);
  const torch::Tensor row = torch::arange(6).view({2, 3}).t(); // [3, 2], not contiguous
  EXPECT_TRUE(torch::equal(collate(samples({row}), errors, allocate).input[0], row));
}

TEST(Collate, AFailedRowIsZerosOfFullLength) {
  std::vector<std::string> errors{"broken file", ""};
  const auto batch = collate(samples({torch::Tensor(), torch::ones({1, 4})}), errors, allocate);
  EXPECT_TRUE(torch::equal(batch.input[0], torch::zeros({1, 4})));
  EXPECT_TRUE(torch::equal(batch.lengths, torch::tensor({4, 4}, torch::kLong)));
  EXPECT_THAT(errors, ElementsAre("broken file", ""));
}

TEST(Collate, ARowThatDoesNotFitFailsAlone) {
  std::vector<std::string> errors(5);
  const auto batch = collate(samples({torch::ones({1, 4}), torch::ones({2, 4}), torch::ones({1, 4}, torch::kLong),
                                      torch::ones({1, 0}), torch::Tensor()}),
                             errors, allocate);
  EXPECT_EQ(batch.input.sizes(), torch::IntArrayRef({5, 1, 4}));
  EXPECT_THAT(errors, ElementsAre("", HasSubstr("[2, 4]"), HasSubstr("Long"), HasSubstr("empty row"), HasSubstr("no tensor")));
}

TEST(Collate, WithoutAnyGoodRowThereIsNoBatch) {
  std::vector<std::string> errors{"broken"};
  EXPECT_FALSE(collate(samples({torch::Tensor()}), errors, allocate).input.defined());
  std::vector<std::string> none(2);
  EXPECT_FALSE(collate(samples({torch::Tensor(), torch::Tensor()}), none, allocate).input.defined());
  EXPECT_THAT(none, ElementsAre("", "")) << "a job may work from Sample::extra alone";
}

} // namespace
} // namespace mgpu::worker
