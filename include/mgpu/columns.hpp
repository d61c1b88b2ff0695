#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// Element types a result column can have. bfloat16 outputs are widened to float32 (HDF5 has no such type).
enum class DType : std::uint8_t { uint8, int8, int16, int32, int64, float16, float32, float64, boolean };

/// Bytes of one element.
std::size_t size_of(DType type);

/// "float32", "int64", … as NumPy spells them.
std::string_view name_of(DType type);

/// How a column's rows are stored.
enum class Layout : std::uint8_t {
  fixed,  ///< every row has `row_shape`: dataset [N, row_shape…]
  ragged, ///< row i has some number of elements of `row_shape`: values[offsets[i]:offsets[i+1]]
  text,   ///< one UTF-8 string a row: string dataset [N]
};

/// One named output of a job: `/results/NAME`.
struct ColumnSpec {
  std::string name;
  DType type = DType::float32;
  Layout layout = Layout::fixed;
  std::vector<std::uint64_t> row_shape; ///< fixed: shape of a row; ragged: shape of one element of a row

  /// Elements of `row_shape`; 1 for a scalar.
  std::uint64_t elements() const;
  /// Bytes of one fixed row, or of one ragged element.
  std::uint64_t row_bytes() const { return elements() * size_of(type); }

  bool operator==(const ColumnSpec&) const = default;
};

/// Per-row flags, `/items/flags`: facts that are not failures.
enum RowFlag : std::uint8_t { flag_none = 0, flag_not_finite = 1 };

/// `/items/status`.
enum class Status : std::uint8_t { pending = 0, ok = 1, failed = 2 };

} // namespace mgpu
