#include "agent/write/hdf5/read_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/strings.hpp"

namespace mgpu::agent::write {

namespace {

h5::Id open_result(const std::string& path) {
  const std::string name = manifest::shown(path);
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    const std::string partial = path + ".partial";
    if (::stat(partial.c_str(), &facts) == 0)
      throw usage_error(
          fmt::format("{}: no such file, but an unfinished run left {}; mgpu_run recover makes a result file of it, or run again "
                      "with --resume",
                      name, manifest::shown(partial)));
    throw usage_error(name + ": no such file; give the result file of a run");
  }
  if (!S_ISREG(facts.st_mode)) throw usage_error(name + ": not a file; give the result file of a run");
  try {
    h5::Id file = h5::open_file(path, false);
    const std::string schema = h5::text_attribute(file, "schema");
    if (schema.starts_with("mgpu/1")) return file;
    if (schema.starts_with("mgpu/")) throw usage_error(fmt::format("{}: schema {}, this build reads mgpu/1", name, schema));
  } catch (const Error& error) {
    if (error.code() == ExitCode::usage) throw;
    throw usage_error(fmt::format("{}: not a result file ({})", name, error.what()));
  }
  throw usage_error(name + ": an HDF5 file, but not a result file (no attribute schema = mgpu/1)");
}

float half_to_float(std::uint16_t half) {
  const int exponent = (half >> 10) & 0x1F, fraction = half & 0x3FF;
  float value = 0;
  if (exponent == 31)
    value = fraction == 0 ? INFINITY : NAN;
  else if (exponent == 0)
    value = std::ldexp(static_cast<float>(fraction), -24);
  else
    value = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & 0x8000) != 0 ? -value : value;
}

template <typename T>
T element(wire::View bytes, std::uint64_t index) {
  T value;
  std::memcpy(&value, bytes.subspan(index * sizeof value, sizeof value).data(), sizeof value);
  return value;
}

std::vector<std::uint64_t> tail(const h5::Shape& shape) {
  return {shape.begin() + 1, shape.end()};
}

} // namespace

double number_at(wire::View bytes, DType type, std::uint64_t index) {
  switch (type) {
    case DType::uint8:
    case DType::boolean:
      return element<std::uint8_t>(bytes, index);
    case DType::int8:
      return element<std::int8_t>(bytes, index);
    case DType::int16:
      return element<std::int16_t>(bytes, index);
    case DType::int32:
      return element<std::int32_t>(bytes, index);
    case DType::int64:
      return static_cast<double>(element<std::int64_t>(bytes, index));
    case DType::float16:
      return half_to_float(element<std::uint16_t>(bytes, index));
    case DType::float32:
      return element<float>(bytes, index);
    case DType::float64:
      return element<double>(bytes, index);
  }
  throw Error("a column of an unknown type");
}

std::vector<std::string> TextReader::read(std::uint64_t first, std::uint64_t count) const {
  std::vector<char*> pointers(count);
  std::vector<std::string> out(count);
  if (count == 0) return out;
  h5::read_rows(dataset_, type_, first, count, pointers.data());
  for (std::uint64_t row = 0; row < count; ++row)
    if (pointers[row] != nullptr) out[row] = pointers[row];
  h5::reclaim_strings(type_, pointers);
  return out;
}

ReadFile::ReadFile(const std::string& path) : path_(path), file_(open_result(path)), items_(h5::open_group(file_, "items")) {
  size_ = h5::shape_of(h5::open_dataset(items_, "status")).at(0);
  for (const std::string& name : h5::names_in(items_)) {
    if (std::find(own_item_datasets.begin(), own_item_datasets.end(), name) != own_item_datasets.end()) continue;
    const std::string original = h5::text_attribute(h5::open_dataset(items_, name), "manifest_column");
    manifest_columns_.emplace_back(original.empty() ? name : original, name);
  }
  if (h5::exists(file_, "results")) {
    results_ = h5::open_group(file_, "results");
    read_columns();
  }
}

void ReadFile::read_columns() {
  // Users may have added objects: only datasets with one row per item are columns.
  const auto rows_in = [&](const std::string& name) -> std::uint64_t {
    if (!h5::is_dataset(*results_, name)) return 0;
    const h5::Shape shape = h5::shape_of(h5::open_dataset(*results_, name));
    return shape.empty() ? 0 : shape[0];
  };
  for (const std::string& name : h5::names_in(*results_)) {
    ColumnSpec column;
    column.name = name;
    const bool ragged = !h5::is_dataset(*results_, name);
    column.layout = ragged ? Layout::ragged : Layout::fixed;
    const std::string values = ragged ? name + "/values" : name;
    if (rows_in(ragged ? name + "/offsets" : name) != size_ + (ragged ? 1 : 0) || !h5::is_dataset(*results_, values)) continue;
    const h5::Id dataset = h5::open_dataset(*results_, values);
    const h5::Id type = h5::type_in(dataset);
    const h5::Shape shape = h5::shape_of(dataset);
    if (shape.empty()) continue;
    column.row_shape = tail(shape);
    if (H5Tis_variable_str(type.get()) > 0) {
      column.layout = Layout::text;
      column.type = DType::uint8;
    } else if (const auto known = h5::dtype_of(type)) {
      column.type = *known;
    } else {
      continue; // added by a user
    }
    columns_.push_back(column);
  }
}

std::vector<ColumnSpec> ReadFile::columns_in_order() const {
  std::vector<ColumnSpec> ordered(columns_.size());
  std::vector<bool> seen(columns_.size(), false);
  for (const ColumnSpec& column : columns_) {
    const h5::Id object =
        column.layout == Layout::ragged ? h5::open_group(*results_, column.name) : h5::open_dataset(*results_, column.name);
    const auto position = static_cast<std::size_t>(h5::number_attribute(object, "position"));
    if (position == 0 || position > ordered.size() || seen[position - 1]) return {};
    seen[position - 1] = true;
    ordered[position - 1] = column;
  }
  return ordered;
}

std::vector<Status> ReadFile::status() const {
  const auto raw = item_numbers<std::uint8_t>("status", h5::status_type().get(), 0, size_);
  std::vector<Status> out(raw.size());
  std::transform(raw.begin(), raw.end(), out.begin(), [](std::uint8_t value) { return static_cast<Status>(value); });
  return out;
}

bool ReadFile::has(std::string_view name) const {
  return std::any_of(columns_.begin(), columns_.end(), [&](const ColumnSpec& column) { return column.name == name; });
}

std::vector<double> ReadFile::numbers(std::string_view name) const {
  const auto column = std::find_if(columns_.begin(), columns_.end(), [&](const ColumnSpec& c) { return c.name == name; });
  if (column == columns_.end()) throw Error(fmt::format("{}: no /results/{}", manifest::shown(path_), name));
  if (column->layout != Layout::fixed) throw Error(fmt::format("/results/{}: its rows are not numbers of one shape", name));
  constexpr std::uint64_t block_bytes = 8u << 20;
  const std::uint64_t block = std::max<std::uint64_t>(1, block_bytes / std::max<std::uint64_t>(column->row_bytes(), 1));
  std::vector<double> out;
  out.reserve(size_ * column->elements());
  for (std::uint64_t first = 0; first < size_; first += block) {
    const std::uint64_t count = std::min(block, size_ - first);
    const wire::Buffer bytes = fixed_rows(*column, first, count);
    for (std::uint64_t i = 0; i < count * column->elements(); ++i) out.push_back(number_at(bytes, column->type, i));
  }
  return out;
}

std::vector<std::string> ReadFile::manifest_columns() const {
  std::vector<std::string> names;
  for (const auto& [original, dataset] : manifest_columns_) names.push_back(original);
  return names;
}

std::optional<TextReader> ReadFile::item_text(const std::string& dataset) const {
  if (!h5::exists(items_, dataset)) return std::nullopt;
  return TextReader(h5::open_dataset(items_, dataset));
}

std::optional<TextReader> ReadFile::manifest_text(std::string_view column) const {
  for (const auto& [original, dataset] : manifest_columns_)
    if (original == column) return TextReader(h5::open_dataset(items_, dataset));
  return std::nullopt;
}

std::vector<std::string> ReadFile::manifest_column(std::string_view name) const {
  const std::optional<TextReader> reader = manifest_text(name);
  if (!reader) throw Error(fmt::format("{}: its manifest had no column {}", manifest::shown(path_), manifest::shown(name)));
  return reader->read(0, size_);
}

wire::Buffer ReadFile::fixed_rows(const ColumnSpec& column, std::uint64_t first, std::uint64_t count) const {
  wire::Buffer out(count * column.row_bytes());
  if (!out.empty()) h5::read_rows(h5::open_dataset(*results_, column.name), h5::type_of(column.type), first, count, out.data());
  return out;
}

std::vector<std::uint64_t> ReadFile::ragged_offsets(const ColumnSpec& column, std::uint64_t first, std::uint64_t count) const {
  std::vector<std::uint64_t> out(count + 1);
  h5::read_rows(h5::open_dataset(*results_, column.name + "/offsets"), h5::copy(H5T_STD_U64LE), first, count + 1, out.data());
  return out;
}

wire::Buffer ReadFile::ragged_values(const ColumnSpec& column, std::uint64_t begin, std::uint64_t end) const {
  if (begin > end) throw Error(fmt::format("/results/{}/offsets: they do not rise", column.name));
  wire::Buffer out((end - begin) * column.row_bytes());
  if (!out.empty())
    h5::read_rows(h5::open_dataset(*results_, column.name + "/values"), h5::type_of(column.type), begin, end - begin, out.data());
  return out;
}

TextReader ReadFile::text_rows(const ColumnSpec& column) const {
  return TextReader(h5::open_dataset(*results_, column.name));
}

} // namespace mgpu::agent::write
