#include "worker/run/schema.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "worker/device/torch.hpp"

namespace mgpu::worker {

namespace {

std::string shape_text(at::IntArrayRef shape) {
  std::ostringstream text;
  text << shape;
  return text.str();
}

void check_name(const std::string& name) {
  const bool usable =
      !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (!usable) throw SchemaError(fmt::format("output name '{}' cannot be a dataset's name", name));
}

void check_rows(const std::string& name, std::size_t have, std::int64_t rows) {
  if (static_cast<std::int64_t>(have) != rows)
    throw SchemaError(fmt::format("output '{}' has {} rows for a batch of {}", name, have, rows));
}

std::vector<std::uint64_t> tail(at::IntArrayRef sizes) {
  return {sizes.begin() + 1, sizes.end()};
}

ColumnSpec fixed_column(const Outputs::Column& column, std::int64_t rows) {
  const torch::Tensor& value = column.fixed;
  if (!value.defined()) throw SchemaError(fmt::format("output '{}' is an undefined tensor", column.name));
  if (value.dim() == 0 || value.size(0) != rows)
    throw SchemaError(fmt::format("output '{}' is {}, its first dimension must be the batch of {}", column.name,
                                  shape_text(value.sizes()), rows));
  return {column.name, dtype_of(value.scalar_type()), Layout::fixed, tail(value.sizes())};
}

ColumnSpec ragged_column(const Outputs::Column& column, std::int64_t rows) {
  check_rows(column.name, column.ragged.size(), rows);
  ColumnSpec spec{column.name, DType::float32, Layout::ragged, {}};
  for (std::size_t i = 0; i < column.ragged.size(); ++i) {
    const torch::Tensor& row = column.ragged[i];
    if (!row.defined() || row.dim() == 0)
      throw SchemaError(fmt::format("ragged output '{}': row {} is not a list of elements", column.name, i));
    const ColumnSpec own{column.name, dtype_of(row.scalar_type()), Layout::ragged, tail(row.sizes())};
    if (i == 0) spec = own;
    if (!(own == spec))
      throw SchemaError(
          fmt::format("ragged output '{}': row {} is {}, row 0 is {}", column.name, i, describe(own), describe(spec)));
  }
  return spec;
}

ColumnSpec column_of(const Outputs::Column& column, std::int64_t rows) {
  check_name(column.name);
  if (column.layout == Layout::fixed) return fixed_column(column, rows);
  if (column.layout == Layout::ragged) return ragged_column(column, rows);
  check_rows(column.name, column.text.size(), rows);
  return {column.name, DType::uint8, Layout::text, {}};
}

} // namespace

DType dtype_of(torch::ScalarType type) {
  switch (type) {
    case torch::kByte:
      return DType::uint8;
    case torch::kChar:
      return DType::int8;
    case torch::kShort:
      return DType::int16;
    case torch::kInt:
      return DType::int32;
    case torch::kLong:
      return DType::int64;
    case torch::kHalf:
      return DType::float16;
    case torch::kBFloat16:
    case torch::kFloat:
      return DType::float32;
    case torch::kDouble:
      return DType::float64;
    case torch::kBool:
      return DType::boolean;
    default:
      throw SchemaError(fmt::format("outputs of type {} cannot be stored", c10::toString(type)));
  }
}

std::string describe(const ColumnSpec& column) {
  if (column.layout == Layout::text) return "text";
  return fmt::format("{}{} {}", column.layout == Layout::ragged ? "ragged " : "", name_of(column.type), column.row_shape);
}

std::vector<ColumnSpec> columns_of(const Outputs& outputs, std::int64_t rows) {
  std::vector<ColumnSpec> columns;
  std::set<std::string> names;
  for (const Outputs::Column& column : outputs.columns) {
    columns.push_back(column_of(column, rows));
    if (!names.insert(column.name).second) throw SchemaError(fmt::format("two outputs are named '{}'", column.name));
  }
  return columns;
}

std::vector<std::size_t> match(const std::vector<ColumnSpec>& announced, const Outputs& outputs, std::int64_t rows) {
  if (outputs.columns.size() != announced.size())
    throw SchemaError(fmt::format("the job gave {} outputs, {} were announced", outputs.columns.size(), announced.size()));
  std::vector<std::size_t> places;
  for (const ColumnSpec& wanted : announced) {
    const auto found = std::find_if(outputs.columns.begin(), outputs.columns.end(),
                                    [&](const Outputs::Column& column) { return column.name == wanted.name; });
    if (found == outputs.columns.end()) throw SchemaError(fmt::format("output '{}' was announced but is missing", wanted.name));
    const ColumnSpec have = column_of(*found, rows);
    if (!(have == wanted))
      throw SchemaError(fmt::format("output '{}' is {}, announced as {}", wanted.name, describe(have), describe(wanted)));
    places.push_back(static_cast<std::size_t>(found - outputs.columns.begin()));
  }
  return places;
}

} // namespace mgpu::worker
