// `verify` against files with one thing changed in them.
#include <fstream>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/resume_rig.hpp"

namespace mgpu::agent::write::test {
namespace {

const ColumnSpec codes{"codes", DType::int64, Layout::ragged, {}};

struct Verify : testing::Test {
  Verify() {
    const auto file = ResultFile::create(path, manifest, resumable_header(manifest));
    file->set_columns(all_columns());
    put_batches(*file, batches, 3);
    file->finish(some_footer());
  }
  bool verified() {
    std::ostringstream out;
    const bool right = verify(path, out);
    said = out.str();
    return right;
  }
  h5::Id open() const { return h5::open_file(path, true); }
  template <typename T>
  void put(const std::string& dataset, std::uint64_t row, const T& value, const h5::Id& type) const {
    h5::Id file = open();
    h5::write_rows(h5::open_dataset(file, dataset), type, row, 1, &value);
    file.close();
  }
  void put_text(const std::string& dataset, std::uint64_t row, const char* text) const {
    put(dataset, row, text, h5::utf8_string());
  }
  /// One bit of a row's first byte.
  void flip(const std::string& dataset, std::uint64_t row, std::uint64_t row_bytes) const {
    std::uint64_t at = 0;
    {
      const h5::Id file = h5::open_file(path, false);
      at = h5::offset_of(h5::open_dataset(file, dataset)).value() + row * row_bytes;
    }
    RawFile raw(path, RawFile::Mode::modify);
    std::byte byte{};
    raw.read_at(at, &byte, 1);
    byte ^= std::byte{0x10};
    raw.write_at(at, wire::View(&byte, 1));
  }
  void expect_wrong(std::uint64_t row, const std::string& why) {
    EXPECT_FALSE(verified());
    EXPECT_THAT(said, HasSubstr("wrong: row " + std::to_string(row) + " ("));
    EXPECT_THAT(said, HasSubstr(why));
    EXPECT_THAT(said, HasSubstr("1 row(s) wrong"));
  }

  Folder folder;
  manifest::Manifest manifest = some_manifest(folder, items);
  std::string path = folder / "out.h5", said;
};

TEST_F(Verify, AFileAsItWasWritten) {
  EXPECT_TRUE(verified()) << said;
  EXPECT_THAT(said, HasSubstr("203 rows: 184 ok, 19 failed, 0 pending"));
  EXPECT_THAT(said, HasSubstr("the list of items is the one the run began with"));
  EXPECT_THAT(said, Not(HasSubstr("wrong")));
}

TEST_F(Verify, OneBitOfAFixedRow) {
  for (const auto& [name, bytes] : {std::pair{"fixed_uint8", 6}, {"fixed_float64", 48}, {"fixed_bool", 6}, {"scalar", 4}}) {
    flip(std::string("results/") + name, 8, static_cast<std::uint64_t>(bytes));
    expect_wrong(8, "not what its worker sent");
    flip(std::string("results/") + name, 8, static_cast<std::uint64_t>(bytes));
  }
  EXPECT_TRUE(verified()) << said;
}

TEST_F(Verify, ARaggedValue) {
  flip("results/codes/values", ReadFile(path).ragged_offsets(codes, 5, 1)[0], 8);
  expect_wrong(5, "not what its worker sent");
}

TEST_F(Verify, AnOffset) {
  // Between rows 5 and 6: the first gets a value more, the second one less.
  const std::uint64_t moved = ReadFile(path).ragged_offsets(codes, 6, 1)[0] + 1;
  put("results/codes/offsets", 6, moved, h5::copy(H5T_STD_U64LE));
  EXPECT_FALSE(verified());
  EXPECT_THAT(said, HasSubstr("row 5 ("));
  EXPECT_THAT(said, HasSubstr("row 6 ("));
  EXPECT_THAT(said, HasSubstr("2 row(s) wrong"));
  put("results/codes/offsets", 6, ~std::uint64_t{0}, h5::copy(H5T_STD_U64LE));
  EXPECT_FALSE(verified());
  EXPECT_THAT(said, HasSubstr("cannot be read"));
  EXPECT_THAT(said, HasSubstr("2 row(s) wrong"));
}

TEST_F(Verify, AText) {
  put_text("results/text", 7, "another");
  expect_wrong(7, "not what its worker sent");
}

TEST_F(Verify, AStatus) {
  ASSERT_TRUE(fails(3) && fails(14) && !fails(4));
  put<std::uint8_t>("items/status", 4, 2, h5::status_type());
  expect_wrong(4, "holds one");
  put<std::uint8_t>("items/status", 4, 1, h5::status_type());
  put<std::uint8_t>("items/status", 3, 1, h5::status_type());
  expect_wrong(3, "not what its worker sent");
  put<std::uint8_t>("items/status", 3, 2, h5::status_type());
  put<std::uint8_t>("items/status", 14, 0, h5::status_type());
  EXPECT_FALSE(verified());
  EXPECT_THAT(said, HasSubstr("complete, but 1 items have no result"));
}

TEST_F(Verify, AReason) {
  put_text("items/error", 3, "");
  expect_wrong(3, "reason");
}

TEST_F(Verify, AResultOfAFailedRow) {
  put("results/scalar", 3, 0.5F, h5::type_of(DType::float32));
  expect_wrong(3, "/results/scalar");
}

TEST_F(Verify, APathAndAColumnOfTheList) {
  for (const char* dataset : {"items/path", "items/label", "items/a_b"}) {
    char* before = nullptr;
    {
      const h5::Id file = open();
      h5::read_rows(h5::open_dataset(file, dataset), h5::utf8_string(), 9, 1, &before);
    }
    put_text(dataset, 9, "other");
    EXPECT_FALSE(verified()) << dataset;
    EXPECT_THAT(said, HasSubstr("list of items"));
    put_text(dataset, 9, before);
    H5free_memory(before);
  }
  EXPECT_TRUE(verified()) << said;
}

TEST_F(Verify, ManyWrongRowsAreCountedAndAFewShown) {
  for (std::uint64_t row = 100; row < 150; ++row)
    if (!fails(row)) flip("results/scalar", row, 4);
  EXPECT_FALSE(verified());
  EXPECT_THAT(said, HasSubstr("and 25 more"));
  EXPECT_THAT(said, HasSubstr("45 row(s) wrong"));
}

TEST_F(Verify, AFileThatIsNotFinished) {
  const std::string other = folder / "stopped.h5";
  const auto file = ResultFile::create(other, manifest, resumable_header(manifest));
  file->set_columns(all_columns());
  put_batches(*file, 10, 5);
  file->finish(some_footer(false));
  path = other;
  EXPECT_TRUE(verified()) << said;
  EXPECT_THAT(said, HasSubstr("pending"));
}

TEST_F(Verify, AFileWithoutChecksums) {
  h5::Id file = open();
  h5::check(H5Ldelete(file.get(), "items/crc32c", H5P_DEFAULT), "H5Ldelete");
  file.close();
  try {
    verified();
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), HasSubstr("no checksums"));
  }
}

} // namespace
} // namespace mgpu::agent::write::test
