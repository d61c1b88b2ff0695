#include "agent/write/hdf5/fill.hpp"

#include <algorithm>
#include <limits>

namespace mgpu::agent::write {

namespace {

template <typename T>
void fill_with(wire::Buffer& out, T value) {
  for (std::size_t at = 0; at + sizeof value <= out.size(); at += sizeof value)
    std::memcpy(out.data() + at, &value, sizeof value);
}

constexpr std::uint64_t most_bytes = 1u << 20;
constexpr std::uint16_t half_nan = 0x7E00;

} // namespace

bool is_floating(DType type) {
  return type == DType::float16 || type == DType::float32 || type == DType::float64;
}

wire::Buffer filled_rows(const ColumnSpec& column, std::uint64_t rows) {
  const std::uint64_t row_bytes = column.row_bytes();
  wire::Buffer out(row_bytes * std::clamp<std::uint64_t>(most_bytes / std::max<std::uint64_t>(row_bytes, 1), 1, rows));
  if (column.type == DType::float16) fill_with(out, half_nan);
  if (column.type == DType::float32) fill_with(out, std::numeric_limits<float>::quiet_NaN());
  if (column.type == DType::float64) fill_with(out, std::numeric_limits<double>::quiet_NaN());
  return out;
}

} // namespace mgpu::agent::write
