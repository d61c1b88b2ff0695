#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mgpu {

/// One row of the manifest, as it reaches a worker.
struct Item {
  std::uint64_t index = 0;                                  ///< row of the manifest and of the result file
  std::string path;                                         ///< bytes as the file system has them; not necessarily UTF-8
  bool shipped = false;                                     ///< true: `content` holds the file (--ship bytes); false: read `path`
  std::string content;                                      ///< the file's bytes when shipped
  std::vector<std::pair<std::string, std::string>> columns; ///< the manifest columns the job asked for

  /// Value of a manifest column the job asked for; "" where the row has none.
  std::string_view column(std::string_view name) const {
    for (const auto& [key, value] : columns)
      if (key == name) return value;
    return {};
  }
};

} // namespace mgpu
