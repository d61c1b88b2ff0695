#pragma once
// A run's worth of made-up results: what item i gives depends on i alone, as in a real run.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "agent/manifest/manifest.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/hdf5/result_file.hpp"
#include "common/wire/row_crc.hpp"

namespace mgpu::agent::write::test {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "write_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw Error("mkdtemp");
    path_ = pattern;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A manifest of `items` rows with awkward names and columns `label`, `seconds` (a name the schema has itself) and `a/b`.
inline manifest::Manifest some_manifest(const Folder& folder, std::uint64_t items) {
  const std::string table = folder / "items.csv";
  std::ofstream out(table, std::ios::binary);
  out << "path,label,seconds,a/b\n";
  for (std::uint64_t i = 0; i < items; ++i) {
    const std::string number = std::to_string(i);
    const std::string names[] = {"/plain" + number, "\"/new\nline \"\"quoted\"\" " + number + "\"", "/한국어 " + number,
                                 "/bytes\xff\xfe" + number};
    out << names[i % 4] << ",label " << i % 3 << ',' << i << ",x" << i << '\n';
  }
  out.close();
  return manifest::Manifest::read(table);
}

inline Header some_header() {
  return {.job = "infer",
          .command = "mgpu_run infer --input x",
          .config_json = "{\"batch-size\": 4}",
          .version = "0.1.0",
          .model = "model.pt",
          .model_sha256 = "",
          .started = "2025-01-01T00:00:00Z",
          .world_size = 3};
}

inline Footer some_footer(bool complete = true) {
  RankRow rank;
  rank.rank = 0;
  rank.host = "node1";
  rank.device = "cpu";
  rank.items = 5;
  rank.busy_s = 1.5;
  rank.wall_s = 2;
  RankRow other = rank;
  other.rank = 1;
  other.uuid = "GPU-1";
  return {.finished = "2025-01-01T00:00:10Z", .model_sha256 = "abc", .complete = complete, .ranks = {rank, other}};
}

/// One column of every type and layout.
inline std::vector<ColumnSpec> all_columns() {
  std::vector<ColumnSpec> columns;
  for (const DType type : {DType::uint8, DType::int8, DType::int16, DType::int32, DType::int64, DType::float16, DType::float32,
                           DType::float64, DType::boolean})
    columns.push_back({std::string("fixed_") + std::string(name_of(type)), type, Layout::fixed, {2, 3}});
  columns.push_back({"scalar", DType::float32, Layout::fixed, {}});
  columns.push_back({"nothing", DType::float32, Layout::fixed, {0}});
  columns.push_back({"boxes", DType::float32, Layout::ragged, {4}});
  columns.push_back({"codes", DType::int64, Layout::ragged, {}});
  columns.push_back({"text", DType::uint8, Layout::text, {}});
  return columns;
}

/// Number k of item i in a column of `type`, a small whole number that every type can hold.
inline int expected_value(std::uint64_t item, std::uint64_t k, DType type) {
  const int value = static_cast<int>((item * 7 + k) % 100);
  return type == DType::boolean ? value % 2 : value;
}
inline std::uint32_t expected_count(std::uint64_t item) {
  return static_cast<std::uint32_t>(item % 4);
}
inline std::string expected_text(std::uint64_t item) {
  return item % 5 == 0 ? "" : "문장 " + std::to_string(item) + "\n\"x\"";
}

inline std::uint16_t half_of(int value) { // whole numbers 0 to 2048 are exact
  if (value == 0) return 0;
  int exponent = 0;
  while ((2 << exponent) <= value) ++exponent;
  return static_cast<std::uint16_t>(((exponent + 15) << 10) | ((value << (10 - exponent)) & 0x3FF));
}

template <typename T>
void append_as(wire::Buffer& out, T value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

inline void append_value(wire::Buffer& out, int value, DType type) {
  switch (type) {
    case DType::uint8:
    case DType::boolean:
      return append_as(out, static_cast<std::uint8_t>(value));
    case DType::int8:
      return append_as(out, static_cast<std::int8_t>(value));
    case DType::int16:
      return append_as(out, static_cast<std::int16_t>(value));
    case DType::int32:
      return append_as(out, static_cast<std::int32_t>(value));
    case DType::int64:
      return append_as(out, static_cast<std::int64_t>(value));
    case DType::float16:
      return append_as(out, half_of(value));
    case DType::float32:
      return append_as(out, static_cast<float>(value));
    case DType::float64:
      return append_as(out, static_cast<double>(value));
  }
}

inline bool fails(std::uint64_t item) {
  return item % 11 == 3;
}

/// A batch, with what its views point into.
struct SampleBatch {
  SampleBatch(const std::vector<ColumnSpec>& columns, std::uint64_t first, std::uint64_t rows, std::uint64_t batch = 0) {
    result.batch = batch;
    result.first = first;
    for (std::uint64_t row = 0; row < rows; ++row) {
      const bool bad = fails(first + row);
      status.push_back(static_cast<std::uint8_t>(bad ? Status::failed : Status::ok));
      flags.push_back((first + row) % 10 == 0 && !bad ? flag_not_finite : flag_none);
      seconds.push_back(0.25f);
      if (bad) reasons.push_back("not a picture: item " + std::to_string(first + row));
    }
    std::size_t reason = 0;
    for (std::uint32_t row = 0; row < rows; ++row)
      if (fails(first + row)) result.errors.emplace_back(row, reasons[reason++]);
    data.resize(columns.size());
    counts.resize(columns.size());
    for (std::uint32_t c = 0; c < columns.size(); ++c) {
      for (std::uint64_t row = 0; row < rows; ++row) add_row(columns[c], c, first + row);
      result.columns.push_back({c, counts[c], data[c]});
    }
    result.status = status;
    result.flags = flags;
    result.seconds = seconds;
    crcs.resize(rows);
    wire::make_row_crcs(result, columns, crcs.data());
    result.crcs = crcs;
  }
  SampleBatch(const SampleBatch&) = delete;

  void add_row(const ColumnSpec& column, std::uint32_t c, std::uint64_t item) {
    if (column.layout == Layout::fixed) {
      // Garbage in the rows of failed items: the file must not show it.
      for (std::uint64_t k = 0; k < column.elements(); ++k)
        append_value(data[c], fails(item) ? 1 : expected_value(item, k, column.type), column.type);
    } else if (column.layout == Layout::ragged) {
      counts[c].push_back(fails(item) ? 0 : expected_count(item));
      for (std::uint64_t k = 0; k < counts[c].back() * column.elements(); ++k)
        append_value(data[c], expected_value(item, k, column.type), column.type);
    } else {
      const std::string text = fails(item) ? "" : expected_text(item);
      counts[c].push_back(static_cast<std::uint32_t>(text.size()));
      const auto bytes = std::as_bytes(std::span(text));
      data[c].insert(data[c].end(), bytes.begin(), bytes.end());
    }
  }

  std::vector<std::uint8_t> status, flags;
  std::vector<float> seconds;
  std::vector<std::uint32_t> crcs;
  std::vector<std::string> reasons;
  std::vector<wire::Buffer> data;
  std::vector<std::vector<std::uint32_t>> counts;
  wire::BatchResult result;
};

/// Every byte of /results and /items/{path,status,error,manifest columns}, as text keys and values to compare.
inline std::vector<std::pair<std::string, std::string>> contents(const ReadFile& file) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add_bytes = [&](const std::string& name, wire::View bytes) {
    out.emplace_back(name, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  };
  const auto add_text = [&](const std::string& name, const TextReader& reader) {
    for (const std::string& text : reader.read(0, file.size())) out.emplace_back(name, text);
  };
  add_text("path", *file.item_text("path"));
  if (const auto errors = file.item_text("error")) add_text("error", *errors);
  for (const std::string& column : file.manifest_columns()) add_text(column, *file.manifest_text(column));
  const auto status = file.status();
  add_bytes("status", std::as_bytes(std::span(status)));
  for (const ColumnSpec& column : file.columns()) {
    if (column.layout == Layout::text) {
      add_text(column.name, file.text_rows(column));
    } else if (column.layout == Layout::fixed) {
      add_bytes(column.name, file.fixed_rows(column, 0, file.size()));
    } else {
      const auto offsets = file.ragged_offsets(column, 0, file.size());
      add_bytes(column.name + "/offsets", std::as_bytes(std::span(offsets)));
      add_bytes(column.name + "/values", file.ragged_values(column, 0, offsets.back()));
    }
  }
  return out;
}

} // namespace mgpu::agent::write::test
