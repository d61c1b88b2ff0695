#pragma once
// The curves of a training: `/training/NAME`, one 1-D dataset each.
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace mgpu::agent::write {

namespace h5 {
class Id;
}

/// One dataset of /training.
struct Series {
  std::string name;
  std::variant<std::vector<double>, std::vector<std::uint64_t>, std::vector<std::uint8_t>, std::vector<std::string>> values;
};

/// Writes the group /training.
void write_training(const h5::Id& file, std::span<const Series> series);

} // namespace mgpu::agent::write
