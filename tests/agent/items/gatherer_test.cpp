#include "agent/items/gatherer.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "common/wire/encoded_block.hpp"

namespace mgpu::agent::items {
namespace {

/// An encoded block of `rows` rows, the second of which failed and the third is flagged.
std::shared_ptr<std::byte> make_block(std::uint64_t batch, std::uint64_t first, std::size_t rows, std::size_t& size) {
  std::vector<std::uint8_t> status(rows, static_cast<std::uint8_t>(Status::ok)), flags(rows, flag_none);
  const std::vector<float> seconds(rows, 0.5F);
  status.at(1) = static_cast<std::uint8_t>(Status::failed);
  flags.at(2) = flag_not_finite;
  wire::BatchResult result;
  result.batch = batch;
  result.first = first;
  result.status = status;
  result.flags = flags;
  result.seconds = seconds;
  result.errors = {{1, "truncated JPEG"}};
  size = wire::encoded_size(result);
  std::shared_ptr<std::byte> block(static_cast<std::byte*>(std::aligned_alloc(wire::block_alignment, size)), std::free);
  wire::encode(result, block.get());
  return block;
}

TEST(Gatherer, CountsWhatABlockHolds) {
  Gatherer gatherer(10, 4);
  std::size_t size = 0;
  const auto block = make_block(1, 4, 4, size);
  std::vector<FailedItem> failures;
  const Accepted accepted =
      gatherer.count(gatherer.open({block.get(), size}), [&](const FailedItem& item) { failures.push_back(item); });
  EXPECT_EQ(accepted.rows, 4U);
  EXPECT_EQ(accepted.failed, 1U);
  EXPECT_EQ(accepted.flagged, 1U);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].item, 5U);
  EXPECT_EQ(failures[0].reason, "truncated JPEG");
  EXPECT_EQ(gatherer.done(), 4U);
  EXPECT_EQ(gatherer.failed(), 1U);
}

TEST(Gatherer, RefusesRowsThePlanDoesNotHave) {
  const Gatherer gatherer(10, 4);
  std::size_t size = 0;
  EXPECT_THROW(gatherer.open({make_block(1, 5, 4, size).get(), 0}), Error) << "empty";
  auto block = make_block(1, 5, 4, size);
  EXPECT_THROW(gatherer.open({block.get(), size}), Error) << "batch 1 begins at item 4";
  block = make_block(2, 8, 4, size);
  EXPECT_THROW(gatherer.open({block.get(), size}), Error) << "the last batch has 2 rows";
  block = make_block(9, 36, 4, size);
  EXPECT_THROW(gatherer.open({block.get(), size}), Error) << "beyond the manifest";
  block = make_block(1, 4, 4, size);
  EXPECT_THROW(gatherer.open({block.get(), size / 2}), Error) << "torn";
}

TEST(Gatherer, ItemsOfAShardAreCountedFromItsFirst) {
  const Gatherer gatherer(10, 4, 40);
  std::size_t size = 0;
  auto block = make_block(1, 44, 4, size);
  EXPECT_EQ(gatherer.open({block.get(), size}).first, 4U);
  block = make_block(1, 4, 4, size);
  EXPECT_THROW(gatherer.open({block.get(), size}), wire::Malformed) << "an item of another shard";
  block = make_block(11, 44, 4, size);
  EXPECT_THROW(gatherer.open({block.get(), size}), wire::Malformed) << "batches are counted from the shard's first, too";
}

TEST(Gatherer, OnlyTheColumnsOfTheRunAreTaken) {
  const std::vector<std::uint8_t> status(4, 1), flags(4, 0);
  const std::vector<float> seconds(4, 0.0F);
  std::vector<std::uint32_t> counts{1, 0, 2, 1};
  const std::vector<std::byte> fixed(4 * 8), ragged(4 * 4);
  wire::BatchResult result;
  result.status = status;
  result.flags = flags;
  result.seconds = seconds;
  result.columns = {{0, {}, fixed}, {1, counts, ragged}};
  Gatherer gatherer(10, 4);
  gatherer.set_columns({{"a", DType::float64, Layout::fixed, {}}, {"b", DType::float32, Layout::ragged, {}}});
  EXPECT_EQ(gatherer.open(wire::make_block(result).bytes).rows(), 4U);
  const auto refused = [&](const wire::BatchResult& block) {
    EXPECT_THROW(gatherer.open(wire::make_block(block).bytes), wire::Malformed);
  };
  wire::BatchResult wrong = result;
  wrong.columns[0].data = wire::View(fixed).first(24);
  refused(wrong);
  wrong = result;
  wrong.columns[1].column = 0;
  refused(wrong);
  wrong = result;
  wrong.columns[1].column = 7;
  refused(wrong);
  wrong = result;
  wrong.columns[1].counts = {};
  refused(wrong);
  wrong = result;
  wrong.columns.pop_back();
  refused(wrong);
  counts[0] = 4'000'000'000;
  refused(result);
}

} // namespace
} // namespace mgpu::agent::items
