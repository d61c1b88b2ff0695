#include "agent/write/hdf5/result_file.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "agent/write/samples.hpp"

namespace mgpu::agent::write::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(const std::string& path, Existing existing = Existing::refuse) {
  try {
    ResultFile::check(path, existing);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
  return "";
}

/// Writes a whole file, its batches in the order given.
void write_file(const std::string& path, const manifest::Manifest& manifest, std::vector<std::uint64_t> firsts,
                std::uint64_t batch_size, int commit_every = 3, bool complete = true) {
  const auto file = ResultFile::create(path, manifest, some_header());
  file->set_columns(all_columns());
  int count = 0;
  for (const std::uint64_t first : firsts) {
    const SampleBatch batch(all_columns(), first, std::min(batch_size, manifest.size() - first));
    file->put(batch.result, static_cast<std::int32_t>(first % 5));
    if (++count % commit_every == 0) file->commit();
  }
  file->finish(some_footer(complete));
}

std::vector<std::uint64_t> batch_starts(std::uint64_t items, std::uint64_t batch_size) {
  std::vector<std::uint64_t> firsts;
  for (std::uint64_t first = 0; first < items; first += batch_size) firsts.push_back(first);
  return firsts;
}

void expect_row(const ReadFile& file, const ColumnSpec& column, std::uint64_t item, bool ok) {
  const std::uint64_t elements = column.elements();
  if (column.layout == Layout::text) {
    EXPECT_EQ(file.text_rows(column).read(item, 1).at(0), ok ? expected_text(item) : "") << item;
    return;
  }
  wire::Buffer bytes;
  std::uint64_t count = elements;
  if (column.layout == Layout::ragged) {
    const auto offsets = file.ragged_offsets(column, item, 1);
    ASSERT_EQ(offsets[1] - offsets[0], ok ? expected_count(item) : 0) << column.name << ' ' << item;
    bytes = file.ragged_values(column, offsets[0], offsets[1]);
    count = (offsets[1] - offsets[0]) * elements;
  } else {
    bytes = file.fixed_rows(column, item, 1);
  }
  const bool floating = column.type == DType::float16 || column.type == DType::float32 || column.type == DType::float64;
  for (std::uint64_t k = 0; k < count; ++k) {
    const double value = number_at(bytes, column.type, k);
    if (!ok && floating)
      EXPECT_TRUE(std::isnan(value)) << column.name << ' ' << item;
    else
      EXPECT_EQ(value, ok ? expected_value(item, k, column.type) : 0) << column.name << ' ' << item;
  }
}

TEST(ResultFile, EveryLayoutAndTypeComesBack) {
  const Folder folder;
  const std::uint64_t items = 50;
  write_file(folder / "out.h5", some_manifest(folder, items), batch_starts(items, 4), 4);
  EXPECT_FALSE(fs::exists(folder / "out.h5.partial"));
  EXPECT_FALSE(fs::exists(folder / "out.h5.journal"));

  const ReadFile file(folder / "out.h5");
  ASSERT_EQ(file.size(), items);
  EXPECT_TRUE(file.complete());
  EXPECT_EQ(file.text("schema"), "mgpu/1");
  EXPECT_EQ(file.text("config"), "{\"batch-size\": 4}");
  EXPECT_EQ(file.text("model_sha256"), "abc");
  EXPECT_EQ(file.text("finished"), "2025-01-01T00:00:10Z");
  EXPECT_EQ(file.number("world_size"), 3);

  std::vector<ColumnSpec> expected = all_columns();
  std::sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  ASSERT_EQ(file.columns().size(), expected.size());
  for (std::size_t c = 0; c < expected.size(); ++c) {
    EXPECT_EQ(file.columns()[c], expected[c]) << expected[c].name;
    for (std::uint64_t item = 0; item < items; ++item) expect_row(file, expected[c], item, !fails(item));
  }
  const auto errors = file.item_text("error")->read(0, items);
  const auto status = file.status();
  for (std::uint64_t item = 0; item < items; ++item) {
    EXPECT_EQ(status[item], fails(item) ? Status::failed : Status::ok);
    EXPECT_EQ(errors[item], fails(item) ? "not a picture: item " + std::to_string(item) : "");
  }
  EXPECT_THAT(file.item_numbers<std::int32_t>("rank", H5T_STD_I32LE, 3, 6), ElementsAre(0, 4, 4, 4, 4, 3));
  EXPECT_THAT(file.item_numbers<std::uint8_t>("flags", H5T_STD_U8LE, 9, 3), ElementsAre(0, 1, 0));
  EXPECT_THAT(file.item_numbers<std::uint16_t>("attempts", H5T_STD_U16LE, 0, 2), ElementsAre(1, 1));
}

TEST(ResultFile, PathsAndManifestColumnsKeepTheirBytes) {
  const Folder folder;
  write_file(folder / "out.h5", some_manifest(folder, 8), batch_starts(8, 8), 8);
  const ReadFile file(folder / "out.h5");
  const auto paths = file.item_text("path")->read(0, 4);
  EXPECT_EQ(paths[0], "/plain0");
  EXPECT_THAT(paths[1], HasSubstr("/new\nline \"quoted\" 1"));
  EXPECT_EQ(paths[2], "/한국어 2");
  EXPECT_EQ(paths[3],
            "/bytes\xff\xfe"
            "3");
  EXPECT_EQ(file.manifest_column("label")[4], "label 1");
  EXPECT_EQ(file.manifest_column("seconds")[7], "7"); // the run's own seconds have that name in the file
  EXPECT_EQ(file.manifest_column("a/b")[2], "x2");
  EXPECT_THROW(file.manifest_column("none"), Error);
  EXPECT_TRUE(file.has("scalar"));
  EXPECT_FALSE(file.has("label"));
  EXPECT_EQ(file.numbers("scalar")[1], 7);
  EXPECT_TRUE(std::isnan(file.numbers("scalar")[3]));
  EXPECT_THROW(file.numbers("boxes"), Error);
}

TEST(ResultFile, OrderOfArrivalDoesNotMatter) {
  const Folder folder;
  const std::uint64_t items = 203, batch_size = 7;
  const auto manifest = some_manifest(folder, items);
  std::vector<std::uint64_t> firsts = batch_starts(items, batch_size);
  write_file(folder / "in_order.h5", manifest, firsts, batch_size);
  const auto expected = contents(ReadFile(folder / "in_order.h5"));
  std::mt19937 random(7);
  for (int trial = 0; trial < 4; ++trial) {
    std::shuffle(firsts.begin(), firsts.end(), random);
    std::vector<std::uint64_t> again = firsts;
    again.insert(again.end(), firsts.begin(), firsts.begin() + 5); // some batches are done twice
    const std::string path = folder / ("shuffled" + std::to_string(trial) + ".h5");
    write_file(path, manifest, again, batch_size, 1 + trial);
    EXPECT_EQ(contents(ReadFile(path)), expected);
  }
}

TEST(ResultFile, LaterResultsOfAnItemReplaceEarlierOnes) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 8);
  const auto columns = all_columns();
  const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
  const SampleBatch whole(columns, 0, 8), part(columns, 4, 2);
  // First the whole batch fails without any columns, then it is done; then two of its rows alone.
  wire::BatchResult failed;
  const std::vector<std::uint8_t> status(8, static_cast<std::uint8_t>(Status::failed)), flags(8);
  const std::vector<float> seconds(8);
  failed.status = status;
  failed.flags = flags;
  failed.seconds = seconds;
  for (std::uint32_t row = 0; row < 8; ++row) failed.errors.emplace_back(row, "worker lost");
  file->put(failed, 0); // before the columns are known
  file->set_columns(columns);
  file->put(failed, 0);
  file->commit();
  file->put(whole.result, 1);
  file->put(part.result, 2);
  file->finish(some_footer());
  write_file(folder / "plain.h5", manifest, {0}, 8);
  EXPECT_EQ(contents(ReadFile(folder / "out.h5")), contents(ReadFile(folder / "plain.h5")));
}

TEST(ResultFile, RowsNeverDoneAreFilledWhenARunStops) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 40);
  write_file(folder / "out.h5", manifest, {8, 16}, 8, 3, false);
  const ReadFile file(folder / "out.h5");
  EXPECT_FALSE(file.complete());
  const auto status = file.status();
  for (std::uint64_t item = 0; item < 40; ++item) {
    const bool done = item >= 8 && item < 24;
    EXPECT_EQ(status[item], !done ? Status::pending : fails(item) ? Status::failed : Status::ok);
    for (const ColumnSpec& column : file.columns()) expect_row(file, column, item, done && !fails(item));
  }
}

TEST(ResultFile, NoColumnsAtAll) { // stopped before a model gave anything
  const Folder folder;
  const auto manifest = some_manifest(folder, 3);
  const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
  file->finish(some_footer(false));
  EXPECT_TRUE(ReadFile(folder / "out.h5").columns().empty());
}

TEST(ResultFile, WhatDoesNotFitIsRefused) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 8);
  const std::vector<ColumnSpec> columns{{"x", DType::float32, Layout::fixed, {2}}, {"t", DType::uint8, Layout::text, {}}};
  const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
  file->set_columns(columns);
  file->set_columns(columns); // every rank says the same
  EXPECT_THROW(file->set_columns(all_columns()), Error);
  SampleBatch beyond(columns, 6, 3), good(columns, 0, 4);
  EXPECT_THROW(file->put(beyond.result, 0), Error);
  wire::BatchResult bad = good.result;
  bad.columns[0].data = bad.columns[0].data.first(4);
  EXPECT_THROW(file->put(bad, 0), Error);
  bad = good.result;
  bad.columns[1].counts = {};
  EXPECT_THROW(file->put(bad, 0), Error);
  bad = good.result;
  bad.columns.pop_back();
  EXPECT_THROW(file->put(bad, 0), Error);
  bad = good.result;
  bad.columns[1].column = 9;
  EXPECT_THROW(file->put(bad, 0), Error);
  bad = good.result;
  bad.columns[1] = bad.columns[0];
  EXPECT_THROW(file->put(bad, 0), Error);
}

TEST(ResultFile, ColumnNamesAreChecked) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 2);
  for (const std::string name : {"", "a/b", "."}) {
    const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
    EXPECT_THROW(file->set_columns({{name, DType::float32, Layout::fixed, {}}}), Error) << name;
  }
  const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
  EXPECT_THROW(file->set_columns({{"a", DType::int8, Layout::fixed, {}}, {"a", DType::int8, Layout::text, {}}}), Error);
}

TEST(ResultFile, OutputIsCheckedBeforeAnyWork) {
  const Folder folder;
  EXPECT_EQ(refusal(folder / "new.h5"), "");
  EXPECT_THAT(refusal(""), HasSubstr("not a file name"));
  EXPECT_THAT(refusal(folder / "none/out.h5"), HasSubstr("there is no folder"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("is a folder"));
  std::ofstream(folder / "old.h5") << "x";
  EXPECT_THAT(refusal(folder / "old.h5"), HasSubstr("--overwrite"));
  EXPECT_EQ(refusal(folder / "old.h5", Existing::overwrite), "");
  std::ofstream(folder / "left.h5.partial") << "x";
  EXPECT_THAT(refusal(folder / "left.h5"), HasSubstr("--resume"));
  fs::create_symlink("/nowhere", folder / "dangling.h5");
  EXPECT_THAT(refusal(folder / "dangling.h5"), HasSubstr("exists"));
}

TEST(ResultFile, ASecondRunOnTheSameOutputIsRefused) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 2);
  const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
  EXPECT_THAT(refusal(folder / "out.h5", Existing::overwrite), HasSubstr("another run"));
  EXPECT_THROW(ResultFile::create(folder / "out.h5", manifest, some_header()), Error);
}

TEST(ResultFile, SymbolicLinksAreNeverFollowed) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 4);
  std::ofstream(folder / "precious") << "keep me";
  for (const char* name : {"out.h5", "out.h5.partial", "out.h5.journal"}) fs::create_symlink(folder / "precious", folder / name);
  write_file(folder / "out.h5", manifest, {0}, 4);
  std::string content;
  std::ifstream(folder / "precious") >> content;
  EXPECT_EQ(content, "keep");
  EXPECT_FALSE(fs::is_symlink(folder / "out.h5"));
  EXPECT_EQ(ReadFile(folder / "out.h5").size(), 4u);
}

} // namespace
} // namespace mgpu::agent::write::test
