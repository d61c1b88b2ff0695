#include "agent/training/training_result.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "common/wire/batch_result.hpp"

namespace mgpu::agent {

namespace {

/// Rows that have no results besides their status.
struct Statuses {
  Statuses(std::uint64_t rows, Status all)
      : status(rows, static_cast<std::uint8_t>(all)), flags(rows, flag_none), seconds(rows, 0.0F), crcs(rows, 0) {}
  static constexpr std::size_t row_bytes = 10;
  std::vector<std::uint8_t> status, flags;
  std::vector<float> seconds;
  std::vector<std::uint32_t> crcs;
};

} // namespace

void put_statuses(Output& output, std::uint64_t items, const ReasonByPlace& skipped, bool all_used) {
  constexpr auto part = static_cast<std::uint8_t>(wire::DataPart::train);
  constexpr std::uint64_t block_rows = 65536;
  output.set_columns({});
  for (std::uint64_t first = 0; first < items; first += block_rows) {
    const std::uint64_t rows = std::min(block_rows, items - first);
    const auto block = std::make_shared<Statuses>(rows, all_used ? Status::ok : Status::pending);
    wire::BatchResult result;
    result.first = first;
    result.attempt = 1;
    for (auto at = skipped.lower_bound({part, first}); at != skipped.end() && at->first < ItemPlace(part, first + rows); ++at) {
      const auto row = static_cast<std::uint32_t>(at->first.second - first);
      block->status[row] = static_cast<std::uint8_t>(Status::failed);
      result.errors.emplace_back(row, at->second);
    }
    result.status = block->status;
    result.flags = block->flags;
    result.seconds = block->seconds;
    result.crcs = block->crcs;
    output.put(write::Rows{-1, std::move(result), block, rows * Statuses::row_bytes});
  }
}

std::vector<write::Series> with_classes(std::vector<write::Series> curves, const std::optional<wire::Metrics>& last) {
  if (!last || last->classes.empty()) return curves;
  std::vector<std::string> names;
  std::vector<double> accuracy;
  for (const wire::Metric& metric : last->classes) {
    names.push_back(metric.name);
    accuracy.push_back(metric.value);
  }
  curves.push_back({"class_name", names});
  curves.push_back({"class_items", last->class_items});
  curves.push_back({"class_accuracy", accuracy});
  return curves;
}

} // namespace mgpu::agent
