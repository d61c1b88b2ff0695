#include "agent/manifest/shard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/manifest/manifest.hpp"

namespace mgpu::agent::manifest {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    Shard::parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Shard, IsCountedFromOne) {
  EXPECT_EQ(Shard::parse(""), std::nullopt);
  EXPECT_EQ(Shard::parse("1/3"), (Shard{1, 3}));
  EXPECT_EQ(Shard::parse("3/3"), (Shard{3, 3}));
  EXPECT_EQ(Shard::parse("1/1"), (Shard{1, 1}));
  EXPECT_EQ(Shard::parse("007/010"), (Shard{7, 10})) << "as %03d gives it";
  EXPECT_EQ((Shard{2, 3}.text()), "2/3");
}

TEST(Shard, WhatIsNoneIsRefusedWithWhatToType) {
  EXPECT_THAT(refusal("0/3"), AllOf(HasSubstr("counted from 1"), HasSubstr("--shard 1/3 to 3/3"), HasSubstr("--array=1-3")));
  EXPECT_THAT(refusal("4/3"), AllOf(HasSubstr("there are 3 shard(s)"), HasSubstr("--shard 1/3 to 3/3")));
  for (const char* text : {"1", "1/", "/3", "/", "a/b", "1/3/5", "-1/3", "+1/3", "1/-3", "1.5/3", " 1/3", "1/3 ", "1 / 3", "1/0",
                           "0x1/3", "99999999999999999999/3", "2:3"})
    EXPECT_THAT(refusal(text), HasSubstr("give I/N")) << text;
  EXPECT_THAT(refusal("1/1000001"), HasSubstr("more than 1000000 shards"));
  EXPECT_THAT(refusal("5000000000/5000000001"), HasSubstr("more than 1000000 shards"));
}

TEST(Shard, ShardsAreWholeBatchesOnceEachAndBalanced) {
  for (const std::uint64_t items : {1U, 3U, 4U, 5U, 16U, 17U, 100U, 1001U})
    for (const std::uint32_t batch_size : {1U, 4U, 7U, 2000U})
      for (const std::uint32_t count : {1U, 2U, 3U, 7U, 50U}) {
        const std::uint64_t batches = (items + batch_size - 1) / batch_size;
        std::uint64_t next = 0, least = batches, most = 0;
        for (std::uint32_t index = 1; index <= count; ++index) {
          const ItemSpan span = items_of({index, count}, items, batch_size);
          EXPECT_EQ(span.first, next);
          next += span.count;
          EXPECT_TRUE(span.count == 0 || span.first % batch_size == 0);
          EXPECT_TRUE(next == items || next % batch_size == 0) << "only the manifest's last batch may be a part";
          const std::uint64_t own = (span.count + batch_size - 1) / batch_size;
          least = std::min(least, own);
          most = std::max(most, own);
        }
        EXPECT_EQ(next, items);
        EXPECT_LE(most - least, 1U);
      }
}

TEST(Shard, CountsOfAnySizeDoNotOverflow) {
  constexpr std::uint64_t many = ~std::uint64_t{0};
  const ItemSpan last = items_of({Shard::most, Shard::most}, many, 1);
  EXPECT_EQ(last.first + last.count, many);
}

TEST(Shard, APartOfAManifestHasItsRowsAndNothingElse) {
  const auto table = std::filesystem::temp_directory_path() / ("mgpu_shard_test_" + std::to_string(getpid()) + ".csv");
  std::ofstream(table) << "path,label,priority,duration\n/a,x,1,10\n/bb,,2,20\n/,zz,3,30\n/dddd,y,4,40\n";
  const Manifest whole = Manifest::read(table.string());
  std::filesystem::remove(table);
  const Manifest part = whole.part(1, 2);
  ASSERT_EQ(part.size(), 2U);
  EXPECT_EQ(part.path(0), "/bb");
  EXPECT_EQ(part.path(1), "/");
  EXPECT_EQ(part.column_names(), whole.column_names());
  EXPECT_EQ(part.value(part.column("label").value(), 1), "zz");
  EXPECT_THAT(part.priorities(), testing::ElementsAre(2, 3));
  EXPECT_THAT(part.costs(), testing::ElementsAre(20, 30));
  EXPECT_EQ(whole.part(4, 0).size(), 0U);
  EXPECT_EQ(whole.part(0, 4).path(3), "/dddd");
}

} // namespace
} // namespace mgpu::agent::manifest
