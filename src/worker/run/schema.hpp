#pragma once
// The columns of a job's outputs, and the check of a batch's outputs against the announced ones.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "mgpu/columns.hpp"
#include "mgpu/error.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// Thrown when outputs differ from the announced ones: retrying single rows would not help.
class SchemaError : public Error {
 public:
  using Error::Error;
};

/// Element type of a column; bfloat16 becomes float32. Throws SchemaError on complex, quantised and other types that HDF5 lacks.
DType dtype_of(torch::ScalarType type);

/// The columns of `outputs` of a batch of `rows`. Throws SchemaError naming the column: a first dimension that is not the batch, another
/// number of rows, an unusable name, a name used twice.
std::vector<ColumnSpec> columns_of(const Outputs& outputs, std::int64_t rows);

/// For each announced column its index in `outputs.columns`. Throws SchemaError naming the difference.
std::vector<std::size_t> match(const std::vector<ColumnSpec>& announced, const Outputs& outputs, std::int64_t rows);

/// "float32 [1000]", "ragged int64 [4]", "text".
std::string describe(const ColumnSpec& column);

} // namespace mgpu::worker
