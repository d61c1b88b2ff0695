#include "agent/items/unreadable.hpp"

#include <gtest/gtest.h>

namespace mgpu::agent::items {
namespace {

struct Rows {
  explicit Rows(std::size_t rows) : status(rows, 1) { result.status = status; }
  void fail(std::uint32_t row, Cause cause) {
    result.errors.emplace_back(row, "no such file");
    result.causes.push_back(cause);
  }
  std::vector<std::uint8_t> status;
  wire::BatchResult result;
};

TEST(Unreadable, OnlyWhatAnotherRankMayDo) {
  Rows rows(10);
  EXPECT_TRUE(unreadable_rows(rows.result, 8).empty());
  rows.fail(1, Cause::item);
  EXPECT_TRUE(unreadable_rows(rows.result, 8).empty());
  rows.fail(3, Cause::io);
  rows.fail(4, Cause::memory);
  rows.fail(9, Cause::io);
  const auto runs = unreadable_rows(rows.result, 8);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].begin, 3U);
  EXPECT_EQ(runs[0].end, 5U);
  EXPECT_EQ(runs[0].failed, 2U);
  EXPECT_EQ(runs[1].begin, 9U);
  EXPECT_EQ(runs[1].end, 10U);
}

TEST(Unreadable, ManyAreJoinedNearestFirst) {
  Rows rows(1'000'000);
  std::uint32_t failed = 0;
  for (std::uint32_t row = 0; row < 1'000'000; row += row % 1000 == 0 ? 7 : 13) {
    rows.fail(row, Cause::io);
    ++failed;
  }
  for (const std::size_t most : {1U, 2U, 8U}) {
    const auto runs = unreadable_rows(rows.result, most);
    ASSERT_FALSE(runs.empty());
    EXPECT_LE(runs.size(), most);
    std::uint32_t sum = 0, at = 0;
    for (const Unreadable& each : runs) {
      EXPECT_LE(at, each.begin);
      EXPECT_LT(each.begin, each.end);
      at = each.end;
      sum += each.failed;
    }
    EXPECT_EQ(sum, failed);
  }
  Rows few(100);
  for (const std::uint32_t row : {1U, 3U, 50U, 52U, 90U}) few.fail(row, Cause::io);
  const auto runs = unreadable_rows(few.result, 3);
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].end, 4U);
  EXPECT_EQ(runs[1].begin, 50U);
  EXPECT_EQ(runs[2].begin, 90U);
}

} // namespace
} // namespace mgpu::agent::items
