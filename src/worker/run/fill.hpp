#pragma once
// Fills the columns of a result block from the pieces of a batch. Plain memory: no tensors are made here.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mgpu/columns.hpp"
#include "worker/run/batch_runner.hpp"

namespace mgpu::worker {

/// Sets flag_not_finite on ok rows with a NaN or infinite value.
void flag_rows(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
               std::span<const std::uint8_t> status, std::span<std::uint8_t> flags);

/// Copies rows of a fixed column to `out` [rows × row_bytes]; rows not ok become NaN (floats) or 0.
void fill_fixed(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
                std::span<const std::uint8_t> status, std::byte* out);

/// Number of elements (ragged) or bytes (text) of each row; 0 for rows not ok.
void count_rows(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
                std::span<const std::uint8_t> status, std::vector<std::uint32_t>& counts);

/// Copies the rows of a ragged or text column one after another to `out`.
void fill_varying(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
                  std::span<const std::uint32_t> counts, std::byte* out);

/// True if all `count` values of a floating type are finite; true for other types.
bool all_finite(DType type, const std::byte* values, std::size_t count);

} // namespace mgpu::worker
