#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "common/wire/batch_result.hpp"

namespace mgpu::wire {

/// What stands for a NUL in the texts of a result file, whose strings end at one: U+FFFD.
inline constexpr std::string_view nul_replacement = "\xef\xbf\xbd";

/// What a result file says of each row that is ok, so that `verify` can tell a good one: the sum modulo 2^32, over all columns, of the
/// CRC-32C of the column's name followed by the row's bytes in it (values as they lie in the file, texts with nul_replacement), times an
/// odd number of the name's, 2 CRC-32C(name) + 1: CRCs are linear, and by their plain sum or XOR two columns with their rows exchanged
/// would look right. It does not depend on the order of the columns. Made by the worker, where the row is made. `columns`: by ColumnData::column; every column's data must be
/// there. `out` [rows]; 0 for rows that are not ok.
void make_row_crcs(const BatchResult& result, std::span<const ColumnSpec> columns, std::uint32_t* out);

/// CRC-32C of a text as a result file keeps it, continued from `crc`.
std::uint32_t crc_of_text(std::string_view text, std::uint32_t crc = 0);

} // namespace mgpu::wire
