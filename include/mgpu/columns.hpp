#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// Element types of a result column. bfloat16 outputs are converted to float32, because HDF5 has no such type.
enum class DType : std::uint8_t { uint8, int8, int16, int32, int64, float16, float32, float64, boolean };

/// Size of one element, bytes.
std::size_t size_of(DType type);

/// "float32", "int64", …: NumPy's names.
std::string_view name_of(DType type);

/// Storage of a column's rows.
enum class Layout : std::uint8_t {
  fixed,  ///< all rows have the shape `row_shape`: dataset [N, row_shape…]
  ragged, ///< row i has any number of elements of shape `row_shape`: values[offsets[i]:offsets[i+1]]
  text,   ///< one UTF-8 string per row: string dataset [N]
};

/// One named output of a job: `/results/NAME`.
struct ColumnSpec {
  std::string name;
  DType type = DType::float32;
  Layout layout = Layout::fixed;
  std::vector<std::uint64_t> row_shape; ///< fixed: shape of a row; ragged: shape of one element of a row

  /// Number of values in `row_shape`; 1 for a scalar.
  std::uint64_t elements() const;
  /// Size of one fixed row, or of one ragged element, bytes.
  std::uint64_t row_bytes() const { return elements() * size_of(type); }

  bool operator==(const ColumnSpec&) const = default;
};

/// Flags of a row, `/items/flags`. A flag is not a failure.
enum RowFlag : std::uint8_t { flag_none = 0, flag_not_finite = 1 };

/// Status of a row, `/items/status`.
enum class Status : std::uint8_t { pending = 0, ok = 1, failed = 2 };

} // namespace mgpu
