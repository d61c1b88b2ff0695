#pragma once
#include <functional>
#include <string>

#include "agent/write/journal/row_block.hpp"

namespace mgpu::agent::write {

/// Why row `row` of the block, whose columns these are, is not what a run writes; "" where it is: a row that is ok has the results that its
/// worker sent, one that failed its reason (which `reason` reads), and one without results NaN, 0 or nothing. `complete`: of a file whose
/// run has finished, where no row of a fixed column is a hole any more.
std::string wrong_in_row(const RowBlock& block, const std::vector<ColumnSpec>& columns, std::size_t row, bool complete,
                         const std::function<std::string()>& reason);

} // namespace mgpu::agent::write
