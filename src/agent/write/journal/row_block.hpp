#pragma once
// Rows of a finished file in the form that workers send.
#include <cstdint>
#include <vector>

#include "agent/write/hdf5/read_file.hpp"
#include "common/wire/batch_result.hpp"

namespace mgpu::agent::write {

/// Rows [first, first + count) with the memory of the views in `result`. The result's columns are numbered as in `columns`.
class RowBlock {
 public:
  /// Throws Error for unreadable data and for a file without /items/crc32c.
  RowBlock(const ReadFile& file, const std::vector<ColumnSpec>& columns, std::uint64_t first, std::uint64_t count);
  RowBlock(const RowBlock&) = delete;

  const wire::BatchResult& result() const { return result_; }
  std::int32_t rank(std::size_t row) const { return ranks_[row]; }
  std::uint16_t attempts(std::size_t row) const { return attempts_[row]; }
  /// Whether an ok row is equal to what its worker sent.
  bool as_sent(std::size_t row) const { return made_[row] == crcs_[row]; }

 private:
  void read_column(const ReadFile& file, const ColumnSpec& column, std::uint32_t c, std::uint64_t count);

  std::vector<std::uint8_t> status_, flags_;
  std::vector<std::uint16_t> attempts_;
  std::vector<std::int32_t> ranks_;
  std::vector<float> seconds_;
  std::vector<std::uint32_t> crcs_, made_;
  std::vector<wire::Buffer> data_;
  std::vector<std::vector<std::uint32_t>> counts_;
  wire::BatchResult result_;
};

/// Number of rows in a block of some megabytes.
std::uint64_t rows_a_block(const std::vector<ColumnSpec>& columns);

} // namespace mgpu::agent::write
