#include "agent/manifest/builder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "agent/manifest/text.hpp"

namespace mgpu::agent::manifest {

namespace {

constexpr std::array<std::string_view, 5> cost_names{"duration", "seconds", "cost", "size", "bytes"};

/// Parses a number with optional blanks around it; nullopt if `text` is none.
std::optional<double> number(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '+')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

constexpr std::size_t most_columns = 1000;
constexpr float unknown_cost = std::numeric_limits<float>::quiet_NaN();

} // namespace

std::size_t Builder::column(std::string_view name) {
  if (const auto known = manifest_.column(name)) return *known;
  // Every column has a value in every row: lines with a new column each would need memory quadratic in their number.
  if (manifest_.column_names_.size() >= most_columns)
    throw usage_error(fmt::format("input {}: more than {} columns", source_, most_columns));
  manifest_.column_names_.emplace_back(name);
  StringColumn& added = manifest_.columns_.emplace_back();
  for (std::uint64_t row = 0; row < manifest_.size(); ++row) added.append({});
  if (name == "priority") {
    priority_column_ = manifest_.columns_.size() - 1;
    manifest_.priorities_.assign(manifest_.size(), 0);
  }
  return manifest_.columns_.size() - 1;
}

void Builder::set_base(std::string folder) {
  base_ = std::move(folder);
  if (!base_.empty() && !base_.ends_with('/')) base_ += '/';
}

void Builder::add(std::string_view path, std::uint64_t line) {
  add(path, {}, line);
}

void Builder::add(std::string_view path, std::span<const std::string_view> values, std::uint64_t line) {
  if (path.empty())
    throw usage_error(fmt::format("input {}: line {} has an empty path; remove the line or give it one", source_, line));
  if (path.find('\0') != std::string_view::npos)
    throw usage_error(fmt::format("input {}: line {} has a NUL in its path; no file can have that name", source_, line));
  if (base_.empty() || path.starts_with('/')) {
    manifest_.paths_.append(path);
  } else {
    joined_.assign(base_).append(path);
    manifest_.paths_.append(joined_);
  }
  for (std::size_t i = 0; i < manifest_.columns_.size(); ++i)
    manifest_.columns_[i].append(i < values.size() ? values[i] : std::string_view());
  if (priority_column_) read_priority(*priority_column_ < values.size() ? values[*priority_column_] : std::string_view(), line);
}

void Builder::read_priority(std::string_view text, std::uint64_t line) {
  std::int32_t priority = 0; // an empty field counts as 0
  if (!text.empty()) {
    const std::optional<double> value = number(text);
    if (!value || *value != std::floor(*value) || std::abs(*value) > 2e9)
      throw usage_error(fmt::format("input {}: line {}: priority {} is not a whole number", source_, line, shown(text)));
    priority = static_cast<std::int32_t>(*value);
  }
  manifest_.priorities_.push_back(priority);
}

Manifest Builder::finish(const ReadOptions& options) {
  if (manifest_.size() == 0) throw usage_error(fmt::format("input {}: no items in it", source_));
  read_costs(options);
  if (manifest_.costs_.empty() && options.stat_sizes) stat_sizes();
  return std::move(manifest_);
}

void Builder::read_costs(const ReadOptions& options) {
  std::optional<std::size_t> column;
  if (!options.cost_column.empty()) {
    column = manifest_.column(options.cost_column);
    if (!column)
      throw usage_error(fmt::format("input {}: no column {} to take costs from; beside path it has: {}", source_,
                                    shown(options.cost_column), listed(manifest_.column_names_)));
  }
  for (std::size_t i = 0; i < cost_names.size() && !column; ++i) column = manifest_.column(cost_names[i]);
  if (!column) return;
  std::vector<float> costs;
  costs.reserve(manifest_.size());
  for (std::uint64_t row = 0; row < manifest_.size(); ++row) {
    const std::optional<double> value = number(manifest_.value(*column, row));
    costs.push_back(value && *value >= 0 ? static_cast<float>(*value) : unknown_cost);
  }
  set_costs(std::move(costs));
  if (manifest_.costs_.empty() && !options.cost_column.empty())
    throw usage_error(
        fmt::format("input {}: column {} has not one number to take as a cost", source_, shown(options.cost_column)));
}

void Builder::stat_sizes() {
  std::vector<float> costs;
  costs.reserve(manifest_.size());
  for (std::uint64_t row = 0; row < manifest_.size(); ++row) {
    struct stat facts {};
    const std::string path(manifest_.path(row));
    costs.push_back(::stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) ? static_cast<float>(facts.st_size)
                                                                                : unknown_cost);
  }
  set_costs(std::move(costs));
}

void Builder::set_costs(std::vector<float> costs) {
  double sum = 0;
  std::uint64_t known = 0;
  for (const float cost : costs)
    if (!std::isnan(cost)) {
      sum += cost;
      ++known;
    }
  if (known == 0) return; // no cost is known
  const auto mean = static_cast<float>(sum / static_cast<double>(known));
  for (float& cost : costs)
    if (std::isnan(cost)) cost = mean;
  manifest_.costs_ = std::move(costs);
}

} // namespace mgpu::agent::manifest
