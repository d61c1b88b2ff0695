#pragma once
// Groups of 1-D datasets: `/training/NAME`, the curves of a training, and `/shards/NAME` of a merged file.
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace mgpu::agent::write {

namespace h5 {
class Id;
}

/// One dataset of such a group.
struct Series {
  std::string name;
  std::variant<std::vector<double>, std::vector<std::uint64_t>, std::vector<std::uint8_t>, std::vector<std::string>> values;
};

/// Writes the group.
void write_series(const h5::Id& file, const std::string& group, std::span<const Series> series);

} // namespace mgpu::agent::write
