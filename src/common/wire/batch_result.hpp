#pragma once
// The result of one batch, as it travels from the worker to the writer: one flat block, columns aligned, so that it is
// written once (by the worker, into shared memory) and read in place (by the writer).
#include <cstdint>
#include <memory>
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
///  ragged: `data` is the values of all rows one after another; `counts` [rows] says how many elements each has (0 if not ok).
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
  std::span<const float> seconds;                                 ///< [rows] load + its share of the batch's run time
  std::span<const std::uint32_t> crcs;                            ///< [rows] make_row_crcs(); decoded ones always have them
  std::vector<std::pair<std::uint32_t, std::string_view>> errors; ///< row in the batch, reason; failed rows only
  std::vector<Cause> causes;                                      ///< of `errors`, one each; empty: all are the item's own
  std::vector<ColumnData> columns;
  std::size_t rows() const { return status.size(); }
  Cause cause(std::size_t error) const { return causes.empty() ? Cause::item : causes[error]; }
};

/// Rows [begin, end) of a result; views into the same memory.
BatchResult part_of(const BatchResult& result, std::size_t begin, std::size_t end);

/// An encoded result with memory of its own.
struct Block {
  View bytes;
  std::shared_ptr<void> owner;
};
Block make_block(const BatchResult& result);

inline constexpr std::size_t block_alignment = 64;

/// Bytes `encode` will write, a multiple of block_alignment.
std::size_t encoded_size(const BatchResult&);

/// Where parts of an encoded block lie, for those who fill them in place.
struct BlockPlaces {
  std::vector<std::byte*> data; ///< by column
  std::uint32_t* crcs = nullptr;
};

/// Writes the block at `out`, encoded_size() long and block_alignment-aligned. A caller may leave ColumnData::data empty-backed
/// (data() == nullptr with a size), and BatchResult::crcs empty, and fill them in afterwards; crcs are 0 until then.
BlockPlaces encode(const BatchResult&, std::byte* out);

/// Reads a block; the result's views point into `block`, which must be block_alignment-aligned. Throws Error when torn.
BatchResult decode_batch_result(View block);

} // namespace mgpu::wire
