#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <ostream>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/tools/tools.hpp"

namespace mgpu::agent::write {

namespace {

constexpr std::uint64_t most_block_rows = 1024;
constexpr std::uint64_t block_bytes = 8u << 20;

/// A field of one row: text, or JSON (numbers, arrays).
struct Field {
  std::string text;
  bool is_json = false;
};

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = manifest::utf8_length(text, at);
    if (length == 0) {
      out += fmt::format("\\udc{:02x}", byte); // Python's surrogateescape
    } else if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[at];
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += text.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return out + '"';
}

/// Spreadsheets evaluate a cell that starts like this; a path or reason could be a formula. OWASP: put an apostrophe before it.
std::string without_formula(std::string_view text) {
  const bool formula = !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
  return fmt::format("{}{}", formula ? "'" : "", text);
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

/// Shortest text that reads back as the same value. Numbers that JSON lacks are written as Python's json does.
template <typename T>
std::string real_text(T value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{}", value);
}

std::string element_text(wire::View bytes, DType type, std::uint64_t index) {
  const double value = number_at(bytes, type, index);
  switch (type) {
    case DType::boolean:
      return value != 0 ? "true" : "false";
    case DType::float16:
    case DType::float32:
      return real_text(static_cast<float>(value));
    case DType::float64:
      return real_text(value);
    case DType::int64: {
      std::int64_t whole;
      std::memcpy(&whole, bytes.subspan(index * sizeof whole, sizeof whole).data(), sizeof whole);
      return std::to_string(whole);
    }
    default:
      return std::to_string(static_cast<std::int64_t>(value));
  }
}

/// Nested arrays of `shape`, its values from `index` on.
void array_text(wire::View bytes, DType type, std::span<const std::uint64_t> shape, std::uint64_t& index, std::string& out) {
  if (shape.empty()) {
    out += element_text(bytes, type, index++);
    return;
  }
  out += '[';
  for (std::uint64_t i = 0; i < shape[0]; ++i) {
    if (i > 0) out += ',';
    array_text(bytes, type, shape.subspan(1), index, out);
  }
  out += ']';
}

Field array_field(wire::View bytes, DType type, std::span<const std::uint64_t> shape) {
  Field field{{}, true};
  std::uint64_t index = 0;
  array_text(bytes, type, shape, index, field.text);
  return field;
}

/// The fields of one column for a block of rows.
using Block = std::vector<Field>;

Block text_block(const TextReader& reader, std::uint64_t first, std::uint64_t count) {
  Block block;
  for (std::string& text : reader.read(first, count)) block.push_back({std::move(text), false});
  return block;
}

Block result_block(const ReadFile& file, const ColumnSpec& column, std::uint64_t first, std::uint64_t count) {
  if (column.layout == Layout::text) return text_block(file.text_rows(column), first, count);
  Block block;
  if (column.layout == Layout::fixed) {
    const wire::Buffer bytes = file.fixed_rows(column, first, count);
    for (std::uint64_t row = 0; row < count; ++row)
      block.push_back(
          array_field(wire::View(bytes).subspan(row * column.row_bytes(), column.row_bytes()), column.type, column.row_shape));
    return block;
  }
  const std::vector<std::uint64_t> offsets = file.ragged_offsets(column, first, count);
  for (std::uint64_t row = 0; row < count; ++row) { // row by row: a single row may be as large as memory allows
    std::vector<std::uint64_t> shape{offsets[row + 1] - offsets[row]};
    shape.insert(shape.end(), column.row_shape.begin(), column.row_shape.end());
    block.push_back(array_field(file.ragged_values(column, offsets[row], offsets[row + 1]), column.type, shape));
  }
  return block;
}

template <typename T>
Block number_block(const ReadFile& file, const char* name, hid_t type, std::uint64_t first, std::uint64_t count) {
  Block block;
  for (const T value : file.item_numbers<T>(name, type, first, count)) block.push_back({fmt::format("{}", value), true});
  return block;
}

/// One column of the export: its name and the function that reads its blocks.
struct Source {
  std::string name;
  std::function<Block(std::uint64_t first, std::uint64_t count)> read;
};

Block status_block(const ReadFile& file, std::uint64_t first, std::uint64_t count) {
  constexpr std::array<const char*, 3> names{"pending", "ok", "failed"};
  Block block;
  for (const std::uint8_t value : file.item_numbers<std::uint8_t>("status", h5::status_type().get(), first, count))
    block.push_back({value < names.size() ? names[value] : "unknown", false});
  return block;
}

std::vector<Source> sources_of(const ReadFile& file) {
  std::vector<Source> sources;
  const auto add_text = [&](const std::string& name, std::optional<TextReader> reader) {
    auto shared = std::make_shared<std::optional<TextReader>>(std::move(reader));
    sources.push_back({name, [shared](std::uint64_t first, std::uint64_t count) {
                         return shared->has_value() ? text_block(**shared, first, count) : Block(count);
                       }});
  };
  add_text("path", file.item_text("path"));
  sources.push_back({"status", [&](auto first, auto count) { return status_block(file, first, count); }});
  add_text("error", file.item_text("error"));
  sources.push_back({"attempts", [&](auto first, auto count) {
                       return number_block<std::uint16_t>(file, "attempts", H5T_STD_U16LE, first, count);
                     }});
  sources.push_back(
      {"rank", [&](auto first, auto count) { return number_block<std::int32_t>(file, "rank", H5T_STD_I32LE, first, count); }});
  sources.push_back(
      {"seconds", [&](auto first, auto count) { return number_block<float>(file, "seconds", H5T_IEEE_F32LE, first, count); }});
  const auto free_name = [&](const std::string& prefix, std::string name) {
    const auto taken = [&](const Source& source) { return source.name == name; };
    while (std::any_of(sources.begin(), sources.end(), taken)) name = prefix + name;
    return name;
  };
  for (const std::string& column : file.manifest_columns()) add_text(free_name("manifest.", column), file.manifest_text(column));
  for (const ColumnSpec& column : file.columns())
    sources.push_back(
        {free_name("results.", column.name), [&](auto first, auto count) { return result_block(file, column, first, count); }});
  return sources;
}

std::uint64_t rows_a_block(const ReadFile& file) {
  std::uint64_t row_bytes = 1;
  for (const ColumnSpec& column : file.columns())
    if (column.layout == Layout::fixed) row_bytes += column.row_bytes();
  return std::clamp<std::uint64_t>(block_bytes / row_bytes, 1, most_block_rows);
}

void write_csv_row(const std::vector<Block>& blocks, std::uint64_t row, bool safe, std::ostream& out) {
  for (std::size_t c = 0; c < blocks.size(); ++c) {
    const Field& field = blocks[c][row];
    out << (c > 0 ? "," : "") << csv_field(safe && !field.is_json ? without_formula(field.text) : field.text);
  }
  out << "\r\n";
}

void write_json_row(const std::vector<Source>& sources, const std::vector<Block>& blocks, std::uint64_t row, std::ostream& out) {
  for (std::size_t c = 0; c < blocks.size(); ++c) {
    const Field& field = blocks[c][row];
    out << (c > 0 ? "," : "{") << json_string(sources[c].name) << ':' << (field.is_json ? field.text : json_string(field.text));
  }
  out << "}\n";
}

} // namespace

void export_rows(const std::string& path, std::string_view format, bool safe_csv, std::ostream& out) {
  if (format != "csv" && format != "jsonl")
    throw usage_error(fmt::format("--format {}: not known; give csv or jsonl", manifest::shown(format)));
  const bool csv = format == "csv";
  if (safe_csv && !csv) throw usage_error("--safe-csv: only with --format csv");
  const ReadFile file(path);
  const std::vector<Source> sources = sources_of(file);
  if (csv) {
    for (std::size_t c = 0; c < sources.size(); ++c)
      out << (c > 0 ? "," : "") << csv_field(safe_csv ? without_formula(sources[c].name) : sources[c].name);
    out << "\r\n";
  }
  const std::uint64_t step = rows_a_block(file);
  for (std::uint64_t first = 0; first < file.size(); first += step) {
    const std::uint64_t count = std::min(step, file.size() - first);
    std::vector<Block> blocks;
    for (const Source& source : sources) blocks.push_back(source.read(first, count));
    for (std::uint64_t row = 0; row < count; ++row)
      csv ? write_csv_row(blocks, row, safe_csv, out) : write_json_row(sources, blocks, row, out);
    if (!out) throw Error("export: the output cannot be written (disk full, or its reader has gone)");
  }
  out.flush();
  if (!out) throw Error("export: the output cannot be written (disk full, or its reader has gone)");
}

} // namespace mgpu::agent::write
