#include "common/wire/row_crc.hpp"

#include <algorithm>

#include "common/support/crc32c.hpp"

namespace mgpu::wire {

namespace {

View bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

} // namespace

std::uint32_t crc_of_text(std::string_view text, std::uint32_t crc) {
  for (std::size_t nul; (nul = text.find('\0')) != std::string_view::npos; text.remove_prefix(nul + 1))
    crc = crc32c(bytes_of(nul_replacement), crc32c(bytes_of(text.substr(0, nul)), crc));
  return crc32c(bytes_of(text), crc);
}

void make_row_crcs(const BatchResult& result, std::span<const ColumnSpec> columns, std::uint32_t* out) {
  const std::size_t rows = result.rows();
  std::fill_n(out, rows, 0U);
  for (const ColumnData& column : result.columns) {
    const ColumnSpec& spec = columns[column.column];
    const std::uint32_t begin = crc32c(bytes_of(spec.name)), factor = 2 * begin + 1;
    const std::size_t element_bytes = spec.layout == Layout::text ? 1 : spec.row_bytes();
    std::size_t at = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t size = spec.layout == Layout::fixed ? element_bytes : column.counts[row] * element_bytes;
      const View cell = column.data.subspan(at, size);
      at += size;
      out[row] +=
          factor * (spec.layout == Layout::text ? crc_of_text({reinterpret_cast<const char*>(cell.data()), cell.size()}, begin)
                                                : crc32c(cell, begin));
    }
  }
  for (std::size_t row = 0; row < rows; ++row)
    if (result.status[row] != static_cast<std::uint8_t>(Status::ok)) out[row] = 0;
}

} // namespace mgpu::wire
