#include <unistd.h>

#include <optional>

#include "agent/manifest/sources.hpp"

namespace mgpu::agent::manifest {

namespace {

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

/// A list may be relative to its own folder (`ls` there) or to the working folder (`find data`): its first relative path decides.
std::string base_for(std::string_view first, const std::string& folder) {
  if (folder.empty()) return {};
  const std::string path(first);
  return !exists(folder + "/" + path) && exists(path) ? std::string() : folder;
}

} // namespace

void read_list(LineReader& lines, const std::string& folder, Builder& builder) {
  constexpr std::uint64_t usual_path_bytes = 64;
  builder.reserve(lines.size_bytes() / usual_path_bytes, lines.size_bytes());
  bool base_known = false;
  std::string_view line;
  while (lines.next(line)) {
    if (line.empty()) continue;
    if (!base_known && !line.starts_with('/')) {
      builder.set_base(base_for(line, folder));
      base_known = true;
    }
    builder.add(line, lines.line_number());
  }
}

} // namespace mgpu::agent::manifest
