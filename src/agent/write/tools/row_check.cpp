#include "agent/write/tools/row_check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/write/hdf5/fill.hpp"
#include "common/support/text.hpp"
#include "common/wire/row_crc.hpp"

namespace mgpu::agent::write {

namespace {

/// Whether a row without results holds what such rows hold.
bool is_blank(const wire::BatchResult& result, const ColumnSpec& column, std::uint32_t c, std::size_t row, bool complete) {
  if (column.layout != Layout::fixed) return result.columns[c].counts[row] == 0;
  const wire::View found = result.columns[c].data.subspan(row * column.row_bytes(), column.row_bytes());
  const wire::Buffer expected = filled_rows(column, 1);
  if (std::equal(found.begin(), found.end(), expected.begin())) return true;
  // Of a run that is not finished, rows to come are holes.
  return !complete && result.status[row] == static_cast<std::uint8_t>(Status::pending) &&
         std::all_of(found.begin(), found.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

} // namespace

std::string wrong_in_row(const RowBlock& block, const std::vector<ColumnSpec>& columns, std::size_t row, bool complete,
                         const std::function<std::string()>& reason) {
  const wire::BatchResult& result = block.result();
  if (result.status[row] > static_cast<std::uint8_t>(Status::failed)) return fmt::format("its status is {}", result.status[row]);
  if (result.status[row] == static_cast<std::uint8_t>(Status::ok))
    return block.as_sent(row) ? "" : "its results are not what its worker sent";
  for (std::uint32_t c = 0; c < columns.size(); ++c)
    if (!is_blank(result, columns[c], c, row, complete))
      return fmt::format("it has no result, but /results/{} holds one", printable(columns[c].name));
  if (result.status[row] == static_cast<std::uint8_t>(Status::failed) && wire::crc_of_text(reason()) != result.crcs[row])
    return "the reason of its failure is not what it was";
  return {};
}

} // namespace mgpu::agent::write
