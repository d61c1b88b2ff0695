#include "mgpu/columns.hpp"

#include <array>

namespace mgpu {

namespace {
struct TypeFacts {
  std::size_t size;
  std::string_view name;
};
constexpr std::array<TypeFacts, 9> facts{{{1, "uint8"},
                                          {1, "int8"},
                                          {2, "int16"},
                                          {4, "int32"},
                                          {8, "int64"},
                                          {2, "float16"},
                                          {4, "float32"},
                                          {8, "float64"},
                                          {1, "bool"}}};
} // namespace

std::size_t size_of(DType type) {
  return facts.at(static_cast<std::size_t>(type)).size;
}

std::string_view name_of(DType type) {
  return facts.at(static_cast<std::size_t>(type)).name;
}

std::uint64_t ColumnSpec::elements() const {
  std::uint64_t count = 1;
  for (const std::uint64_t extent : row_shape) count *= extent;
  return count;
}

} // namespace mgpu
