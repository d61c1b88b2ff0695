#pragma once
// Results of workers that compute nothing: twice an item's index.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "common/wire/batch_result.hpp"
#include "common/wire/encoded_block.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/row_crc.hpp"

namespace mgpu::agent {

inline const ColumnSpec double_index{"double_index", DType::float64, Layout::fixed, {}};

/// A row that failed.
struct BadRow {
  std::uint32_t row = 0; ///< of its batch
  std::string reason;
  Cause cause = Cause::item;
};

/// The wanted rows of a batch, encoded, with checksums. `scale`: what the values are wrong by.
inline wire::Block double_result(const wire::BatchRange& range, const std::vector<BadRow>& bad = {}, double scale = 1) {
  const std::size_t begin = range.wanted_rows == 0 ? 0 : range.wanted_begin;
  const std::size_t rows = range.wanted_rows == 0 ? range.items.size() : range.wanted_rows;
  std::vector<std::uint8_t> status(rows, static_cast<std::uint8_t>(Status::ok));
  const std::vector<std::uint8_t> flags(rows, flag_none);
  const std::vector<float> seconds(rows, 0.0F);
  std::vector<double> values;
  for (std::size_t row = 0; row < rows; ++row) values.push_back(2 * scale * static_cast<double>(range.items[begin + row].index));
  wire::BatchResult result;
  for (const BadRow& each : bad) {
    const std::uint32_t row = each.row - static_cast<std::uint32_t>(begin);
    status[row] = static_cast<std::uint8_t>(Status::failed);
    values[row] = std::numeric_limits<double>::quiet_NaN();
    result.errors.emplace_back(row, each.reason);
    result.causes.push_back(each.cause);
  }
  result.batch = range.batch;
  result.first = range.first + begin;
  result.attempt = range.attempt;
  result.status = status;
  result.flags = flags;
  result.seconds = seconds;
  result.columns.push_back({0, {}, std::as_bytes(std::span(values))});
  std::vector<std::uint32_t> crcs(rows);
  wire::make_row_crcs(result, std::vector{double_index}, crcs.data());
  result.crcs = crcs;
  return wire::make_block(result);
}

} // namespace mgpu::agent
