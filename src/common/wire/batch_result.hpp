#pragma once
// The result of one batch on its way from the worker to the writer: one flat block with aligned columns, written once (by the
// worker, into shared memory) and read in place (by the writer).
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/bytes.hpp"
#include "mgpu/columns.hpp"
#include "mgpu/error.hpp"

namespace mgpu::wire {

/// One column of a batch.
///  fixed:  `data` is rows × spec.row_bytes(); rows not ok are already NaN (floats) or 0.
/// ragged: `data` has the values of all rows one after another; `counts` [rows] the number of elements of each (0 if not ok).
///  text:   as ragged, in bytes.
struct ColumnData {
  std::uint32_t column = 0; ///< index into Opened::columns
  std::span<const std::uint32_t> counts;
  View data;
};

/// Views into an encoded block (or into anything, for encoding).
struct BatchResult {
  std::uint64_t batch = 0;
  std::uint64_t first = 0; ///< first item
  std::uint32_t attempt = 1;
  std::span<const std::uint8_t> status;                           ///< [rows] mgpu::Status
  std::span<const std::uint8_t> flags;                            ///< [rows] mgpu::RowFlag
  std::span<const float> seconds;                                 ///< [rows] load time + share of the batch's run time, s
  std::span<const std::uint32_t> crcs;                            ///< [rows] make_row_crcs(); decoded results always have them
  std::vector<std::pair<std::uint32_t, std::string_view>> errors; ///< row in the batch, reason; failed rows only
  std::vector<Cause> causes;                                      ///< one per error; empty: Cause::item for all
  std::vector<ColumnData> columns;
  std::size_t rows() const { return status.size(); }
  Cause cause(std::size_t error) const { return causes.empty() ? Cause::item : causes[error]; }
};

/// Rows [begin, end) of a result; views into the same memory.
BatchResult part_of(const BatchResult& result, std::size_t begin, std::size_t end);

inline constexpr std::size_t block_alignment = 64;

/// Size that `encode` will write, a multiple of block_alignment.
std::size_t encoded_size(const BatchResult&);

/// Places of an encoded block that the caller may fill.
struct BlockPlaces {
  std::vector<std::byte*> data; ///< by column
  std::uint32_t* crcs = nullptr;
};

/// Writes the block at `out`, encoded_size() long and block_alignment-aligned. A caller may leave ColumnData::data empty-backed
/// (data() == nullptr with a size), and BatchResult::crcs empty, and fill them in afterwards; crcs are 0 until then.
BlockPlaces encode(const BatchResult&, std::byte* out);

/// Reads a block; the result's views point into `block`, which must be block_alignment-aligned. Throws Malformed.
BatchResult decode_batch_result(View block);

} // namespace mgpu::wire
