#pragma once
// The item list of --input, in a fixed order. Compact: a million paths take little more than their bytes.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/error.hpp"
#include "mgpu/media.hpp"

namespace mgpu::agent::manifest {

struct ReadOptions {
  Media media = Media::any; ///< for folders and globs; lists and tables are taken as they are
  std::string cost_column;  ///< "": a column named duration, seconds, cost, size or bytes if the table has one
  bool stat_sizes = false;  ///< use file sizes as costs when there is no cost column
};

/// A string column held as one block of bytes and N+1 offsets.
class StringColumn {
 public:
  void append(std::string_view value);
  std::string_view operator[](std::uint64_t row) const;
  std::uint64_t size() const { return offsets_.size() - 1; }
  void reserve(std::uint64_t rows, std::uint64_t bytes);
  /// Rows [first, first + count).
  StringColumn part(std::uint64_t first, std::uint64_t count) const;

 private:
  std::string bytes_;
  std::vector<std::uint64_t> offsets_{0};
};

/// Immutable after reading.
class Manifest {
 public:
  /// Reads `input`: a folder (recursive, sorted by path bytes), a glob, one file, a list `.txt` (one path per line), a table
  /// `.csv` or `.jsonl` (column `path`; relative paths are relative to the table's folder), or "-" (a list on stdin).
  /// Throws usage_error in one line: missing, empty ("no items"), no column `path`, line number of a malformed row.
  static Manifest read(const std::string& input, const ReadOptions& options = {});
  /// Items [first, first + count) as a manifest of their own, which may be empty.
  Manifest part(std::uint64_t first, std::uint64_t count) const;

  std::uint64_t size() const { return paths_.size(); }
  /// Path to open: as written, or made relative to the table's folder. Bytes, not necessarily UTF-8.
  std::string_view path(std::uint64_t item) const { return paths_[item]; }

  /// Other columns of a table, in the table's order, without `path`.
  const std::vector<std::string>& column_names() const { return column_names_; }
  /// Index of a column; nullopt if there is none.
  std::optional<std::size_t> column(std::string_view name) const;
  std::string_view value(std::size_t column, std::uint64_t item) const { return columns_[column][item]; }

  /// Expected cost of each item in any unit (seconds, bytes); empty when unknown. Missing or bad values count as the mean.
  const std::vector<float>& costs() const { return costs_; }
  /// Column `priority` (higher first); empty when there is none.
  const std::vector<std::int32_t>& priorities() const { return priorities_; }

 private:
  friend class Builder;
  StringColumn paths_;
  std::vector<std::string> column_names_;
  std::vector<StringColumn> columns_;
  std::vector<float> costs_;
  std::vector<std::int32_t> priorities_;
};

} // namespace mgpu::agent::manifest
