#pragma once
// Collects the rows of a manifest from any source.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/manifest/manifest.hpp"

namespace mgpu::agent::manifest {

class Builder {
 public:
  /// `source`: the input as error messages name it.
  explicit Builder(std::string source) : source_(std::move(source)) {}

  void reserve(std::uint64_t rows, std::uint64_t bytes) { manifest_.paths_.reserve(rows, bytes); }
  /// Index of column `name`, added (empty in all rows so far) if it is new.
  std::size_t column(std::string_view name);
  /// Relative paths added from now on are relative to this folder; "" leaves them as written.
  void set_base(std::string folder);
  /// Adds a row without columns. `line`: for messages.
  void add(std::string_view path, std::uint64_t line);
  /// Adds a row; `values` by column index, "" for columns beyond its end.
  void add(std::string_view path, std::span<const std::string_view> values, std::uint64_t line);
  std::uint64_t size() const { return manifest_.size(); }

  /// Determines the costs and returns the manifest. Throws usage_error when there are no items.
  Manifest finish(const ReadOptions& options);

 private:
  void read_priority(std::string_view text, std::uint64_t line);
  void read_costs(const ReadOptions& options);
  void stat_sizes();
  void set_costs(std::vector<float> costs);

  std::string source_;
  std::string base_;
  std::string joined_;
  std::optional<std::size_t> priority_column_;
  Manifest manifest_;
};

} // namespace mgpu::agent::manifest
