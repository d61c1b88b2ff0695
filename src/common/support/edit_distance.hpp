#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace mgpu {

/// Least number of insertions, deletions and replacements that turn `from` into `to`, two sequences of comparable elements
/// (Levenshtein 1966).
template <typename Sequence>
std::int64_t edit_distance(const Sequence& from, const Sequence& to) {
  std::vector<std::int64_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::int64_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::int64_t diagonal = row[0];
    row[0] = static_cast<std::int64_t>(i);
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::int64_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

} // namespace mgpu
