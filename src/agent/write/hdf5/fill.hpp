#pragma once
#include "common/wire/bytes.hpp"
#include "mgpu/columns.hpp"

namespace mgpu::agent::write {

bool is_floating(DType type);

/// Up to `rows` rows of a fixed column with the values for items that are not ok: NaN in floating columns, 0 in others. At least
/// one row, at most about 1 MB.
wire::Buffer filled_rows(const ColumnSpec& column, std::uint64_t rows);

} // namespace mgpu::agent::write
