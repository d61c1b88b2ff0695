// `merge`: the bits of the run without --shard.
#include <fstream>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/ranks.hpp"
#include "agent/write/merge_rig.hpp"

namespace mgpu::agent::write::test {
namespace {

using testing::ElementsAre;

TEST_F(MergeTest, HasTheBitsOfTheRunWithoutShards) {
  for (const std::uint32_t count : {1U, 2U, 3U, 29U}) {
    std::vector<std::string> paths = make_all(count);
    std::reverse(paths.begin(), paths.end()); // their order does not matter
    const MergedRun run = merged(paths);
    EXPECT_EQ(contents(ReadFile(path)), expected) << count << " shards";
    EXPECT_EQ(run.items, items);
    EXPECT_EQ(run.ok, 184U);
    EXPECT_EQ(run.failed, 19U);
    EXPECT_EQ(run.job, "infer");
    fs::remove(path);
    for (const std::string& each : paths) fs::remove(each);
  }
}

TEST_F(MergeTest, IsTheFileOfTheRunWithoutShards) {
  merged(make_all(3));
  const ReadFile file(path), whole(folder / "whole.h5");
  EXPECT_TRUE(file.complete());
  EXPECT_EQ(file.text("identity"), whole.text("identity"));
  EXPECT_EQ(file.columns_in_order(), all_columns());
  EXPECT_EQ(file.manifest_columns(), whole.manifest_columns());
  EXPECT_EQ(file.text("shard"), "");
  EXPECT_EQ(nlohmann::json::parse(file.text("config")), (nlohmann::json{{"batch-size", 7}, {"shard", ""}, {"output", path}}));
  for (const char* name : {"schema", "job", "version", "model", "model_sha256", "started", "finished"})
    EXPECT_EQ(file.text(name), whole.text(name)) << name;
  // Its types are those of the run, names of enums and all.
  for (const char* name : {"items/status", "items/flags", "items/attempts", "items/rank", "items/seconds", "items/crc32c",
                           "results/fixed_bool", "results/fixed_float16", "results/codes/values", "results/codes/offsets"})
    EXPECT_GT(
        H5Tequal(h5::type_in(h5::open_dataset(file.file(), name)).get(), h5::type_in(h5::open_dataset(whole.file(), name)).get()),
        0)
        << name;
  std::ostringstream out;
  EXPECT_TRUE(verify(path, out)) << out.str();
  EXPECT_THAT(out.str(), HasSubstr("the list of items is the one the run began with"));
  inspect(path, out);
  EXPECT_THAT(out.str(), HasSubstr("3, merged (/shards)"));
}

TEST_F(MergeTest, RanksOfShardsHaveNumbersOfTheirOwn) {
  const std::vector<std::string> paths = make_all(3); // ranks 0 to 9, 0 to 9, 0 to 8
  merged(paths);
  const ReadFile file(path);
  const auto ranks = file.item_numbers<std::int32_t>("rank", H5T_STD_I32LE, 0, items);
  EXPECT_EQ(ranks[0], 0);
  EXPECT_EQ(ranks[69], 9);
  EXPECT_EQ(ranks[70], 10);
  EXPECT_EQ(ranks[140], 20);
  EXPECT_EQ(ranks.back(), 28);
  std::vector<std::int32_t> rows;
  for (const RankRow& row : read_ranks(file.file())) rows.push_back(row.rank);
  EXPECT_THAT(rows, ElementsAre(0, 1, 10, 11, 20, 21));
  EXPECT_EQ(file.number("world_size"), 9);
  const h5::Id group = h5::open_group(file.file(), "shards");
  EXPECT_THAT(TextReader(h5::open_dataset(group, "file")).read(0, 3), testing::ElementsAreArray(paths));
  std::vector<std::uint64_t> first(3);
  h5::read_rows(h5::open_dataset(group, "first_rank"), h5::copy(H5T_STD_U64LE), 0, 3, first.data());
  EXPECT_THAT(first, ElementsAre(0, 10, 20));
}

TEST_F(MergeTest, ShardsWithoutItemsHaveNoRows) {
  const std::vector<std::string> paths = make_all(31); // of 29 batches
  EXPECT_EQ(ReadFile(paths.back()).size(), 0U);
  merged(paths);
  EXPECT_EQ(contents(ReadFile(path)), expected);
  std::ostringstream out;
  EXPECT_TRUE(verify(paths.back(), out)) << out.str();
  inspect(paths.back(), out);
  EXPECT_THAT(out.str(), HasSubstr("31/31: none of the input's 203 items"));
}

TEST_F(MergeTest, AShardWhoseItemsAllFailedHasNoColumns) {
  // As the run without --shard has it: those rows hold NaN, 0 or nothing.
  const auto all_failed = [&](ResultFile& file, std::uint64_t first, std::uint64_t rows) {
    const std::vector<std::uint8_t> status(rows, static_cast<std::uint8_t>(Status::failed)), flags(rows, flag_none);
    const std::vector<float> seconds(rows, 0.25F);
    wire::BatchResult result;
    result.first = first;
    result.status = status;
    result.flags = flags;
    result.seconds = seconds;
    for (std::uint32_t row = 0; row < rows; ++row) result.errors.emplace_back(row, "the disk is away");
    file.put(result, 0);
  };
  const auto whole = ResultFile::create(folder / "other.h5", manifest, resumable_header(manifest));
  whole->set_columns(all_columns());
  for (std::uint64_t batch = 10; batch < batches; ++batch)
    whole->put(SampleBatch(all_columns(), batch * batch_size, batch_size, batch).result, 0);
  for (std::uint64_t batch = 0; batch < 10; ++batch) all_failed(*whole, batch * batch_size, batch_size);
  whole->finish(some_footer());

  std::vector<std::string> paths = make_all(3);
  const auto shard = ResultFile::create(folder / "failed.h5", manifest.part(0, 70), header_of({1, 3}));
  for (std::uint64_t batch = 0; batch < 10; ++batch) all_failed(*shard, batch * batch_size, batch_size);
  shard->finish(some_footer());
  paths[0] = folder / "failed.h5";
  ASSERT_THAT(ReadFile(paths[0]).columns(), testing::IsEmpty());
  merged(paths);
  EXPECT_EQ(contents(ReadFile(path)), contents(ReadFile(folder / "other.h5")));
  std::ostringstream out;
  EXPECT_TRUE(verify(path, out)) << out.str();
}

TEST_F(MergeTest, FailedRowsOfTheMergedFileCanBeDoneAgain) {
  merged(make_all(3));
  const auto file = ResultFile::retry(path, manifest, resumable_header(manifest));
  ASSERT_TRUE(file);
  const Earlier earlier = file->earlier();
  EXPECT_EQ(earlier.done, ReadFile(folder / "whole.h5").size() - 19U * batch_size) << "each failed row with its batch";
  file->set_columns(all_columns());
  put_batches(*file, batches, 3);
  file->finish(some_footer());
  EXPECT_EQ(contents(ReadFile(path)), expected);
}

TEST_F(MergeTest, RowsOfAnySizeAreCopiedInBlocks) {
  // Blocks follow the size of the rows: some of 3 MB after many of nothing.
  const ColumnSpec wide{"wide", DType::uint8, Layout::ragged, {}};
  const auto fill = [&](const std::string& name, const manifest::Manifest& list, const Header& header, std::uint64_t first) {
    const auto file = ResultFile::create(folder / name, list, header);
    file->set_columns({wide});
    for (std::uint64_t row = 0; row < list.size(); ++row) {
      const std::uint64_t item = first + row;
      const wire::Buffer bytes(item % 50 == 49 ? 3u << 20 : item % 2, static_cast<std::byte>(item));
      const std::uint32_t count = static_cast<std::uint32_t>(bytes.size());
      const std::uint8_t ok = static_cast<std::uint8_t>(Status::ok), flags = flag_none;
      const float seconds = 1;
      wire::BatchResult result;
      result.first = row;
      result.status = {&ok, 1};
      result.flags = {&flags, 1};
      result.seconds = {&seconds, 1};
      result.columns.push_back({0, {&count, 1}, bytes});
      std::uint32_t crc = 0;
      wire::make_row_crcs(result, std::vector{wide}, &crc);
      result.crcs = {&crc, 1};
      file->put(result, 0);
    }
    file->finish(some_footer());
    return folder / name;
  };
  fill("wide.h5", manifest, resumable_header(manifest), 0);
  merged({fill("wide1.h5", manifest.part(0, 105), header_of({1, 2}), 0),
          fill("wide2.h5", manifest.part(105, 98), header_of({2, 2}), 105)});
  EXPECT_EQ(contents(ReadFile(path)), contents(ReadFile(folder / "wide.h5")));
}

} // namespace
} // namespace mgpu::agent::write::test
