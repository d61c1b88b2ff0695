#include <fmt/format.h>

#include <algorithm>

#include "agent/manifest/sources.hpp"

namespace mgpu::agent::manifest {

namespace {

/// Splits a table into records of fields.
class CsvReader {
 public:
  explicit CsvReader(LineReader& lines) : lines_(lines) {}

  /// The next record's fields, valid until the next call; empty lines are skipped. False at the end.
  bool next(std::vector<std::string_view>& fields) {
    std::string_view line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.empty());
    first_line_ = lines_.line_number();
    fields.clear();
    if (line.find('"') == std::string_view::npos) {
      split_plain(line, fields);
    } else {
      record_.assign(line);
      split_quoted(fields);
    }
    return true;
  }
  /// Line at which the record begins.
  std::uint64_t line() const { return first_line_; }
  Error malformed(std::string_view what) const {
    return usage_error(fmt::format("input {}: line {}: {}", lines_.name(), first_line_, what));
  }

 private:
  static void split_plain(std::string_view line, std::vector<std::string_view>& fields) {
    for (std::size_t comma; (comma = line.find(',')) != std::string_view::npos; line.remove_prefix(comma + 1))
      fields.push_back(line.substr(0, comma));
    fields.push_back(line);
  }

  /// Fields are unquoted in place within record_, as they only become shorter. Their ends are stored as offsets until the record
  /// is complete, because reading another line may reallocate it.
  void split_quoted(std::vector<std::string_view>& fields) {
    ranges_.clear();
    for (std::size_t at = 0;;) {
      at = at < record_.size() && record_[at] == '"' ? take_quoted(at + 1) : take_bare(at);
      if (at >= record_.size()) break;
      ++at; // the comma
      if (at == record_.size()) {
        ranges_.emplace_back(at, at); // a comma at the end: one more, empty field
        break;
      }
    }
    for (const auto& [begin, end] : ranges_) fields.emplace_back(record_.data() + begin, end - begin);
  }

  std::size_t take_bare(std::size_t begin) {
    const std::size_t end = std::min(record_.find(',', begin), record_.size());
    if (std::find(record_.begin() + static_cast<std::ptrdiff_t>(begin), record_.begin() + static_cast<std::ptrdiff_t>(end),
                  '"') != record_.begin() + static_cast<std::ptrdiff_t>(end))
      throw malformed("a quote inside a field without quotes; write the field in quotes and its quotes twice (\"\")");
    ranges_.emplace_back(begin, end);
    return end;
  }

  /// Takes a field from after its opening quote; returns the position after the closing one.
  std::size_t take_quoted(std::size_t begin) {
    std::size_t at = begin, out = begin;
    for (;; ++at) {
      while (at == record_.size()) take_line_more();
      if (record_[at] == '"') {
        if (at + 1 == record_.size() || record_[at + 1] != '"') break;
        ++at; // "" stands for one quote
      }
      record_[out++] = record_[at];
    }
    ranges_.emplace_back(begin, out);
    ++at;
    if (at < record_.size() && record_[at] != ',') throw malformed("text behind a closing quote");
    return at;
  }

  void take_line_more() {
    std::string_view line;
    if (record_.size() > LineReader::longest_line_bytes || !lines_.next(line))
      throw malformed("a quote is opened and never closed");
    record_ += '\n';
    record_ += line;
  }

  LineReader& lines_;
  std::string record_;
  std::vector<std::pair<std::size_t, std::size_t>> ranges_;
  std::uint64_t first_line_ = 0;
};

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

constexpr std::size_t left_out = SIZE_MAX;

} // namespace

void read_csv(LineReader& lines, const std::string& folder, Builder& builder) {
  CsvReader csv(lines);
  std::vector<std::string_view> fields;
  if (!csv.next(fields)) throw usage_error(fmt::format("input {}: empty; a table begins with a header line", lines.name()));

  std::size_t path_field = left_out, columns = 0;
  std::vector<std::size_t> column_of(fields.size(), left_out);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string_view name = trimmed(fields[i]);
    if (name.empty()) continue;
    if (name == "path") {
      if (path_field != left_out) throw csv.malformed("two columns are named path");
      path_field = i;
    } else {
      column_of[i] = builder.column(name);
      if (column_of[i] != columns++) throw csv.malformed(fmt::format("two columns are named {}", shown(name)));
    }
  }
  if (path_field == left_out) {
    throw csv.malformed(
        fmt::format("no column path in the header ({}); name the column of file names path", shown(listed(fields))));
  }
  builder.set_base(folder);
  builder.reserve(0, lines.size_bytes() / 2);
  const std::size_t width = fields.size();
  std::vector<std::string_view> values(columns);
  while (csv.next(fields)) {
    if (fields.size() != width) throw csv.malformed(fmt::format("{} fields, the header has {}", fields.size(), width));
    for (std::size_t i = 0; i < width; ++i)
      if (column_of[i] != left_out) values[column_of[i]] = fields[i];
    builder.add(fields[path_field], values, csv.line());
  }
}

} // namespace mgpu::agent::manifest
