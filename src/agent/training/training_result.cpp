#include "agent/training/training_result.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "common/wire/batch_result.hpp"

namespace mgpu::agent {

void put_statuses(Output& output, std::uint64_t items, const ReasonByPlace& skipped, bool all_used) {
  constexpr auto part = static_cast<std::uint8_t>(wire::DataPart::train);
  constexpr std::uint64_t block_rows = 65536;
  output.set_columns({});
  for (std::uint64_t first = 0; first < items; first += block_rows) {
    const std::uint64_t rows = std::min(block_rows, items - first);
    std::vector<std::uint8_t> status(rows, static_cast<std::uint8_t>(all_used ? Status::ok : Status::pending));
    const std::vector<std::uint8_t> flags(rows, flag_none);
    const std::vector<float> seconds(rows, 0.0F);
    wire::BatchResult result;
    result.first = first;
    result.attempt = 1;
    for (auto at = skipped.lower_bound({part, first}); at != skipped.end() && at->first < ItemPlace(part, first + rows); ++at) {
      const auto row = static_cast<std::uint32_t>(at->first.second - first);
      status[row] = static_cast<std::uint8_t>(Status::failed);
      result.errors.emplace_back(row, at->second);
    }
    result.status = status;
    result.flags = flags;
    result.seconds = seconds;
    const wire::Block block = wire::make_block(result);
    output.put({-1, block.bytes, block.owner});
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
