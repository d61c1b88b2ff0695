#pragma once
// String datasets, written in order and in blocks, so that memory does not grow with their length.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "agent/write/hdf5/h5.hpp"

namespace mgpu::agent::write {

class StringDataset {
 public:
  static constexpr std::size_t block_rows = 16384; ///< fastest of 1k to 100k (a million paths in 0.3 s)
  static constexpr std::size_t block_bytes = 8u << 20;

  /// Creates the dataset NAME [rows].
  StringDataset(const h5::Id& group, const std::string& name, std::uint64_t rows);
  /// Opens a dataset whose rows are all "": blocks that stay empty are not written again.
  static StringDataset open_blank(const h5::Id& group, const std::string& name);
  /// Adds the next row. HDF5 strings end at a NUL, so one within the text becomes U+FFFD.
  void push(std::string_view text);
  /// Writes the last block. Throws Error unless all rows were pushed.
  void close();
  const h5::Id& dataset() const { return dataset_; }

 private:
  StringDataset(h5::Id dataset, std::uint64_t rows, bool blank)
      : type_(h5::utf8_string()), dataset_(std::move(dataset)), rows_(rows), blank_(blank) {}
  void flush();
  h5::Id type_, dataset_;
  std::uint64_t rows_, written_ = 0;
  bool blank_;
  std::string text_; ///< strings of the block, each with its NUL
  std::vector<std::size_t> begins_;
};

/// The schema's own datasets under /items.
inline constexpr std::array<std::string_view, 8> own_item_datasets{"path", "status",  "error", "attempts",
                                                                   "rank", "seconds", "flags", "crc32c"};

/// Names under /items for the columns of a manifest, in the same order: unchanged, except "manifest_NAME" if the schema uses
/// the name, and without characters that HDF5 does not allow.
std::vector<std::string> item_dataset_names(const std::vector<std::string>& columns);

} // namespace mgpu::agent::write
