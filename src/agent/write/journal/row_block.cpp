#include "agent/write/journal/row_block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "common/wire/row_crc.hpp"

namespace mgpu::agent::write {

RowBlock::RowBlock(const ReadFile& file, const std::vector<ColumnSpec>& columns, std::uint64_t first, std::uint64_t count)
    : status_(file.item_numbers<std::uint8_t>("status", h5::status_type().get(), first, count)),
      flags_(file.item_numbers<std::uint8_t>("flags", H5T_STD_U8LE, first, count)),
      attempts_(file.item_numbers<std::uint16_t>("attempts", H5T_STD_U16LE, first, count)),
      ranks_(file.item_numbers<std::int32_t>("rank", H5T_STD_I32LE, first, count)),
      seconds_(file.item_numbers<float>("seconds", H5T_IEEE_F32LE, first, count)),
      crcs_(file.item_numbers<std::uint32_t>("crc32c", H5T_STD_U32LE, first, count)),
      made_(count),
      data_(columns.size()),
      counts_(columns.size()) {
  result_.first = first;
  result_.status = status_;
  result_.flags = flags_;
  result_.seconds = seconds_;
  result_.crcs = crcs_;
  for (std::uint32_t c = 0; c < columns.size(); ++c) {
    read_column(file, columns[c], c, count);
    result_.columns.push_back({c, counts_[c], data_[c]});
  }
  wire::make_row_crcs(result_, columns, made_.data());
}

void RowBlock::read_column(const ReadFile& file, const ColumnSpec& column, std::uint32_t c, std::uint64_t count) {
  const std::uint64_t first = result_.first;
  switch (column.layout) {
    case Layout::fixed:
      data_[c] = file.fixed_rows(column, first, count);
      break;
    case Layout::ragged: {
      const std::vector<std::uint64_t> offsets = file.ragged_offsets(column, first, count);
      for (std::uint64_t row = 0; row < count; ++row) {
        if (offsets[row] > offsets[row + 1] || offsets[row + 1] - offsets[row] > std::numeric_limits<std::uint32_t>::max())
          throw Error(fmt::format("/results/{}/offsets do not rise", column.name));
        counts_[c].push_back(static_cast<std::uint32_t>(offsets[row + 1] - offsets[row]));
      }
      data_[c] = file.ragged_values(column, offsets.front(), offsets.back());
      break;
    }
    case Layout::text:
      for (const std::string& text : file.text_rows(column).read(first, count)) {
        counts_[c].push_back(static_cast<std::uint32_t>(text.size()));
        const auto bytes = std::as_bytes(std::span(text));
        data_[c].insert(data_[c].end(), bytes.begin(), bytes.end());
      }
      break;
  }
}

std::uint64_t rows_a_block(const std::vector<ColumnSpec>& columns) {
  constexpr std::uint64_t block_bytes = 8u << 20, most = 16384, guessed_bytes = 256; // of a ragged or text row
  std::uint64_t row_bytes = 64;
  for (const ColumnSpec& column : columns) row_bytes += column.layout == Layout::fixed ? column.row_bytes() : guessed_bytes;
  return std::clamp<std::uint64_t>(block_bytes / row_bytes, 1, most);
}

} // namespace mgpu::agent::write
