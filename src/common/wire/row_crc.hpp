#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "common/wire/batch_result.hpp"

namespace mgpu::wire {

/// Replacement of a NUL in the texts of a result file, whose strings end at a NUL: U+FFFD.
inline constexpr std::string_view nul_replacement = "\xef\xbf\xbd";

/// Checksums of rows, by which `verify` detects damaged ones: the sum modulo 2^32, over all columns, of the CRC-32C of the
/// column's name followed by the row's bytes in it (values as in the file, texts with nul_replacement), times the odd number 2
/// CRC-32C(name) + 1. With a plain sum or XOR, exchanged rows of two columns would not be detected, because CRCs are linear. The
/// sum does not depend on the order of the columns. Computed by the worker together with the row. `columns`: by
/// ColumnData::column; every column's data must be present. `out` [rows]; 0 for rows that are not ok.
void make_row_crcs(const BatchResult& result, std::span<const ColumnSpec> columns, std::uint32_t* out);

/// CRC-32C of a text as stored in a result file, continued from `crc`.
std::uint32_t crc_of_text(std::string_view text, std::uint32_t crc = 0);

} // namespace mgpu::wire
