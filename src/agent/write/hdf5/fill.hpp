#pragma once
#include "common/wire/bytes.hpp"
#include "mgpu/columns.hpp"

namespace mgpu::agent::write {

bool is_floating(DType type);

/// At most `rows` rows of a fixed column as items that are not ok have them: NaN in floating columns, 0 in others; about 1 MB at
/// most, one row at least.
wire::Buffer filled_rows(const ColumnSpec& column, std::uint64_t rows);

} // namespace mgpu::agent::write
