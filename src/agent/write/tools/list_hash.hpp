#pragma once
// The list of items in a result file: paths and columns of the manifest.
#include <string>
#include <vector>

#include "agent/write/hdf5/read_file.hpp"
#include "common/support/hash.hpp"

namespace mgpu::agent::write {

/// Texts of some rows: [0] the paths, [1 + c] column c.
using ListRows = std::vector<std::vector<std::string>>;

/// The hash of a list, equal to Identity::manifest_sha256.
class ListHash {
 public:
  /// `columns`: as the manifest named them, in any order.
  explicit ListHash(std::vector<std::string> columns);
  /// In the order that add() expects.
  const std::vector<std::string>& columns() const { return columns_; }
  void add(const ListRows& rows);
  /// A text had a NUL, which HDF5 texts cannot hold: the hash cannot be that of the manifest.
  bool replaced_nul() const { return replaced_nul_; }
  /// Once, at the end.
  std::string hex() { return hash_.hex(); }

 private:
  std::vector<std::string> columns_;
  Sha256 hash_;
  bool replaced_nul_ = false;
};

class ListReader {
 public:
  /// Throws Error if the file lacks one of the columns.
  ListReader(const ReadFile& file, const std::vector<std::string>& columns);
  ListRows read(std::uint64_t first, std::uint64_t count) const;

 private:
  std::vector<TextReader> readers_;
};

} // namespace mgpu::agent::write
