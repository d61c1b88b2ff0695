#include "agent/supervisor/memory_events.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

namespace mgpu::agent {

namespace fs = std::filesystem;

namespace {

/// v1 shows "no limit" as a number near 2^63.
constexpr std::uint64_t no_limit_bytes = 1ull << 62;

/// Names of the files of a cgroup version, below its mount.
struct Names {
  const char* mount;
  const char* events;
  const char* limit;
};
constexpr Names v2{"", "memory.events", "memory.max"}, v1{"memory", "memory.oom_control", "memory.limit_in_bytes"};

/// The value of "oom_kill".
std::optional<std::uint64_t> kills_in(const fs::path& file) {
  std::ifstream in(file);
  std::string name;
  for (std::uint64_t value = 0; in >> name >> value;)
    if (name == "oom_kill") return value;
  return std::nullopt;
}

/// The smallest limit from `folder` up to `mount`; 0: none.
std::uint64_t limit_of(fs::path folder, const fs::path& mount, const char* name) {
  std::uint64_t least = 0;
  for (;; folder = folder.parent_path()) {
    std::uint64_t limit = 0;
    if (std::ifstream(folder / name) >> limit && limit < no_limit_bytes && (least == 0 || limit < least)) least = limit;
    if (folder == mount || !folder.has_relative_path()) return least;
  }
}

/// In a container the cgroup may be mounted as the root although its path is the host's.
std::optional<MemoryEvents> read(const fs::path& mount, const fs::path& path, const Names& names) {
  for (const fs::path& folder : {path.has_relative_path() ? mount / path.relative_path() : mount, mount})
    if (const auto kills = kills_in(folder / names.events)) return MemoryEvents{*kills, limit_of(folder, mount, names.limit)};
  return std::nullopt;
}

} // namespace

std::optional<MemoryEvents> read_memory_events(const std::string& self, const std::string& root) {
  std::ifstream in(self);
  for (std::string line; std::getline(in, line);) { // "0::/path" of v2, "4:memory:/path" of v1, both where they are mixed
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1);
    std::optional<MemoryEvents> found;
    if (controllers.empty()) found = read(root, path, v2);
    if (("," + controllers + ",").find(",memory,") != std::string::npos) found = read(fs::path(root) / v1.mount, path, v1);
    if (found) return found;
  }
  return std::nullopt;
}

std::string who_killed(const std::optional<MemoryEvents>& before, const std::optional<MemoryEvents>& after) {
  if (!before || !after) return "as the kernel does when memory is short";
  if (after->kills <= before->kills) return "sent by somebody, not by the kernel's out-of-memory killer";
  constexpr double gib = 1024.0 * 1024 * 1024;
  const std::string limit =
      after->limit_bytes == 0 ? ""
                              : fmt::format(" (limit of its cgroup: {:.3g} GiB)", static_cast<double>(after->limit_bytes) / gib);
  return "by the kernel's out-of-memory killer" + limit;
}

} // namespace mgpu::agent
