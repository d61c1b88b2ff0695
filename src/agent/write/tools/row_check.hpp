#pragma once
#include <functional>
#include <string>

#include "agent/write/journal/row_block.hpp"

namespace mgpu::agent::write {

/// Why row `row` of the block with these columns is damaged; "" if it is not: an ok row has the results that its worker sent, a failed row the reason
/// (which `reason` reads), and a row without results NaN, 0 or nothing. `complete`: the run has finished, so that no row of a fixed column may be a hole.
std::string wrong_in_row(const RowBlock& block, const std::vector<ColumnSpec>& columns, std::size_t row, bool complete,
                         const std::function<std::string()>& reason);

} // namespace mgpu::agent::write
