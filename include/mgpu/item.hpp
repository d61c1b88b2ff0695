#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mgpu {

/// One row of the manifest, as a worker receives it.
struct Item {
  std::uint64_t index = 0; ///< row of the manifest, with --shard of the whole one: the same whoever does it
  std::string path;        ///< bytes of the file system; not necessarily UTF-8
  bool shipped = false;    ///< true: `content` is the file (--ship bytes); false: read `path`
  std::string content;     ///< the file's bytes if shipped
  std::vector<std::pair<std::string, std::string>> columns; ///< the manifest columns of Job::item_columns

  /// Value of a manifest column of Job::item_columns; "" if the row has none.
  std::string_view column(std::string_view name) const {
    for (const auto& [key, value] : columns)
      if (key == name) return value;
    return {};
  }
};

} // namespace mgpu
