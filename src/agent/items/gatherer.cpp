#include "agent/items/gatherer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace mgpu::agent::items {

wire::BatchResult Gatherer::open(wire::View block) const {
  wire::BatchResult result = wire::decode_batch_result(block);
  if (result.first < first_item_)
    throw wire::Malformed(fmt::format("a result speaks of item {}, the shard begins with {}", result.first, first_item_));
  result.first -= first_item_;
  const std::uint64_t begin = result.batch * batch_size_;
  const std::uint64_t end = begin + std::min<std::uint64_t>(batch_size_, items_ - std::min(items_, begin));
  if (result.first < begin || result.first >= end || result.rows() == 0 || result.rows() > end - result.first)
    throw wire::Malformed(fmt::format("a result speaks of batch {} with {} rows from item {}, which the plan does not have",
                                      result.batch, result.rows(), result.first));
  check_columns(result);
  return result;
}

void Gatherer::check_columns(const wire::BatchResult& result) const {
  std::vector<bool> seen(columns_.size(), false);
  for (const wire::ColumnData& column : result.columns) {
    if (column.column >= columns_.size() || seen[column.column])
      throw wire::Malformed(fmt::format("a result has a column {} of {}, or has it twice", column.column, columns_.size()));
    seen[column.column] = true;
    const ColumnSpec& spec = columns_[column.column];
    std::uint64_t elements = result.rows();
    if (spec.layout != Layout::fixed) {
      if (column.counts.size() != result.rows())
        throw wire::Malformed(fmt::format("a result has column {} without its counts", spec.name));
      elements = std::accumulate(column.counts.begin(), column.counts.end(), std::uint64_t{0});
    }
    const std::uint64_t expected = elements * (spec.layout == Layout::text ? 1 : spec.row_bytes());
    if (column.data.size() != expected)
      throw wire::Malformed(fmt::format("a result has {} bytes in column {}, not {}", column.data.size(), spec.name, expected));
  }
  const bool all = std::find(seen.begin(), seen.end(), false) == seen.end();
  const auto ok = static_cast<std::uint8_t>(Status::ok);
  if (!all && std::find(result.status.begin(), result.status.end(), ok) != result.status.end())
    throw wire::Malformed(fmt::format("a result with good rows has {} of {} columns", result.columns.size(), columns_.size()));
  for (const std::uint8_t status : result.status)
    if (status == static_cast<std::uint8_t>(Status::pending)) throw wire::Malformed("a result with rows that are not done");
}

Accepted Gatherer::count(const wire::BatchResult& result, const std::function<void(const FailedItem&)>& failed) {
  Accepted accepted{result.batch, result.first, static_cast<std::uint32_t>(result.rows()), 0, 0};
  for (const std::uint8_t status : result.status)
    if (status != static_cast<std::uint8_t>(Status::ok)) ++accepted.failed;
  for (const std::uint8_t flags : result.flags)
    if (flags != flag_none) ++accepted.flagged;
  for (std::size_t i = 0; i < result.errors.size(); ++i)
    failed({result.first + result.errors[i].first, std::string(result.errors[i].second), result.cause(i)});
  done_ += accepted.rows;
  failed_ += accepted.failed;
  flagged_ += accepted.flagged;
  return accepted;
}

} // namespace mgpu::agent::items
