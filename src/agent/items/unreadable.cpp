#include "agent/items/unreadable.hpp"

#include <algorithm>
#include <functional>

namespace mgpu::agent::items {

std::vector<Unreadable> unreadable_rows(const wire::BatchResult& result, std::size_t most) {
  std::vector<Unreadable> runs;
  std::vector<std::uint32_t> rows;
  for (std::size_t i = 0; i < result.errors.size(); ++i)
    if (result.cause(i) != Cause::item) rows.push_back(result.errors[i].first);
  if (rows.empty()) return runs;
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());

  // Rows are joined except across the widest gaps.
  std::vector<std::uint32_t> gaps;
  for (std::size_t i = 1; i < rows.size(); ++i) gaps.push_back(rows[i] - rows[i - 1]);
  std::uint32_t widest_joined = 1;
  if (gaps.size() >= most) {
    std::vector<std::uint32_t> sorted = gaps;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(most - 1), sorted.end(), std::greater<>());
    widest_joined = std::max(widest_joined, sorted[most - 1]);
  }
  runs.push_back({rows[0], rows[0] + 1, 1});
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (gaps[i - 1] <= widest_joined)
      runs.back() = {runs.back().begin, rows[i] + 1, runs.back().failed + 1};
    else
      runs.push_back({rows[i], rows[i] + 1, 1});
  }
  return runs;
}

} // namespace mgpu::agent::items
