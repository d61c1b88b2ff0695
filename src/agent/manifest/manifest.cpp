#include "agent/manifest/manifest.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/manifest/builder.hpp"
#include "agent/manifest/sources.hpp"

namespace mgpu::agent::manifest {

void StringColumn::append(std::string_view value) {
  bytes_.append(value);
  offsets_.push_back(bytes_.size());
}

std::string_view StringColumn::operator[](std::uint64_t row) const {
  return std::string_view(bytes_).substr(offsets_[row], offsets_[row + 1] - offsets_[row]);
}

void StringColumn::reserve(std::uint64_t rows, std::uint64_t bytes) {
  bytes_.reserve(bytes);
  offsets_.reserve(rows + 1);
}

StringColumn StringColumn::part(std::uint64_t first, std::uint64_t count) const {
  StringColumn out;
  const std::uint64_t begin = offsets_[first];
  out.bytes_ = bytes_.substr(begin, offsets_[first + count] - begin);
  out.offsets_.reserve(count + 1);
  for (std::uint64_t row = 1; row <= count; ++row) out.offsets_.push_back(offsets_[first + row] - begin);
  return out;
}

Manifest Manifest::part(std::uint64_t first, std::uint64_t count) const {
  const auto slice = [&](const auto& all) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(all.empty() ? 0 : first);
    return std::remove_cvref_t<decltype(all)>(begin, begin + static_cast<std::ptrdiff_t>(all.empty() ? 0 : count));
  };
  Manifest out;
  out.paths_ = paths_.part(first, count);
  out.column_names_ = column_names_;
  for (const StringColumn& column : columns_) out.columns_.push_back(column.part(first, count));
  out.costs_ = slice(costs_);
  out.priorities_ = slice(priorities_);
  return out;
}

std::optional<std::size_t> Manifest::column(std::string_view name) const {
  const auto found = std::find(column_names_.begin(), column_names_.end(), name);
  if (found == column_names_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - column_names_.begin());
}

namespace {

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> extensions) {
  std::string end(path.substr(path.size() - std::min<std::size_t>(path.size(), 8)));
  for (char& c : end)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::any_of(extensions.begin(), extensions.end(), [&](std::string_view extension) { return end.ends_with(extension); });
}

/// Folder part of a path, "" for the working folder, so that paths beside a table stay as they are written.
std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {};
  return slash == 0 ? "/" : path.substr(0, slash);
}

void read_any(const std::string& input, const ReadOptions& options, Builder& builder) {
  struct stat facts {};
  if (input == "-") {
    LineReader lines(input);
    return read_list(lines, "", builder);
  }
  if (::stat(input.c_str(), &facts) != 0) {
    const int reason = errno;
    if (input.find_first_of("*?[{") != std::string::npos) return read_glob(input, options.media, builder);
    throw usage_error(fmt::format(
        "input {}: {}; give a folder, a glob in quotes, a file, a list (.txt), a table (.csv, .jsonl) or - for standard input",
        shown(input), std::strerror(reason)));
  }
  if (S_ISDIR(facts.st_mode)) return read_folder(input, options.media, builder);
  const bool pipe = !S_ISREG(facts.st_mode); // <(find …) of a shell
  if (pipe || ends_with_any(input, {".txt", ".csv", ".jsonl", ".ndjson"})) {
    LineReader lines(input);
    if (ends_with_any(input, {".csv"})) return read_csv(lines, folder_of(input), builder);
    if (ends_with_any(input, {".jsonl", ".ndjson"})) return read_jsonl(lines, folder_of(input), builder);
    return read_list(lines, pipe ? "" : folder_of(input), builder);
  }
  builder.add(input, 1);
}

} // namespace

Manifest Manifest::read(const std::string& input, const ReadOptions& options) {
  if (input.empty()) throw usage_error("input is empty; give a folder, a glob in quotes, a file, a list or a table with --input");
  Builder builder(input == "-" ? "standard input" : shown(input));
  read_any(input, options, builder);
  return builder.finish(options);
}

} // namespace mgpu::agent::manifest
