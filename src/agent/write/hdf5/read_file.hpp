#pragma once
// A result file opened for reading, for Job::finish, inspect and export.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/result_file.hpp"
#include "common/wire/bytes.hpp"
#include "mgpu/columns.hpp"
#include "mgpu/job.hpp"

namespace mgpu::agent::write {

/// Reads blocks of rows of a string dataset.
class TextReader {
 public:
  explicit TextReader(h5::Id dataset) : dataset_(std::move(dataset)), type_(h5::utf8_string()) {}
  std::vector<std::string> read(std::uint64_t first, std::uint64_t count) const;

 private:
  h5::Id dataset_, type_;
};

class ReadFile final : public Results {
 public:
  /// Throws usage_error when `path` is missing or not a result file (schema mgpu/1).
  explicit ReadFile(const std::string& path);

  std::uint64_t size() const override { return size_; }
  std::vector<Status> status() const override;
  bool has(std::string_view name) const override;
  std::vector<double> numbers(std::string_view name) const override;
  std::vector<std::string> manifest_column(std::string_view name) const override;

  const std::string& path() const { return path_; }
  const h5::Id& file() const { return file_; }
  std::string text(const char* attribute) const { return h5::text_attribute(file_, attribute); }
  std::int64_t number(const char* attribute) const { return h5::number_attribute(file_, attribute); }
  bool complete() const { return number("complete") != 0; }

  /// Columns under /results, by name.
  const std::vector<ColumnSpec>& columns() const { return columns_; }
  /// The same in the job's order; empty if the file does not record it.
  std::vector<ColumnSpec> columns_in_order() const;
  /// Whether there is an /items/NAME.
  bool has_item_dataset(const std::string& name) const { return h5::exists(items_, name); }
  /// Columns of the manifest besides path, with their names in the manifest.
  std::vector<std::string> manifest_columns() const;
  /// The same, each with its dataset's name below /items, in the order of these names.
  const std::vector<std::pair<std::string, std::string>>& manifest_datasets() const { return manifest_columns_; }
  /// Reader of /items/path, /items/error or a manifest column; nullopt if there is none (error: a run that is not finished).
  std::optional<TextReader> item_text(const std::string& dataset) const;
  std::optional<TextReader> manifest_text(std::string_view column) const;

  /// /items/NAME as numbers of type T; `memory_type` is HDF5's type for T.
  template <typename T>
  std::vector<T> item_numbers(const char* name, hid_t memory_type, std::uint64_t first, std::uint64_t count) const {
    std::vector<T> out(count);
    if (count > 0) h5::read_rows(h5::open_dataset(items_, name), h5::copy(memory_type), first, count, out.data());
    return out;
  }

  /// Rows [first, first + count) of a fixed column, row-major, in the file's format.
  wire::Buffer fixed_rows(const ColumnSpec& column, std::uint64_t first, std::uint64_t count) const;
  /// count + 1 offsets of a ragged column, from row `first` on.
  std::vector<std::uint64_t> ragged_offsets(const ColumnSpec& column, std::uint64_t first, std::uint64_t count) const;
  /// Elements [begin, end) of its values.
  wire::Buffer ragged_values(const ColumnSpec& column, std::uint64_t begin, std::uint64_t end) const;
  TextReader text_rows(const ColumnSpec& column) const;

 private:
  void read_columns();
  std::string path_;
  h5::Id file_, items_;
  std::optional<h5::Id> results_;
  std::uint64_t size_ = 0;
  std::vector<ColumnSpec> columns_;
  std::vector<std::pair<std::string, std::string>> manifest_columns_; ///< manifest's name, dataset's name
};

/// Element `index` of `bytes` as a double (64-bit integers lose their low bits).
double number_at(wire::View bytes, DType type, std::uint64_t index);

} // namespace mgpu::agent::write
