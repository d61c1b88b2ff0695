#pragma once
// Whether the kernel's out-of-memory killer killed a process, by its counters per cgroup.
#include <cstdint>
#include <optional>
#include <string>

namespace mgpu::agent {

/// The counters of the out-of-memory killer for this process's cgroup, which its children share.
struct MemoryEvents {
  std::uint64_t kills = 0;
  std::uint64_t limit_bytes = 0; ///< smallest limit of the cgroup and its parents; 0: none
};

/// For cgroup v2 or v1; nullopt where there is no counter. `self` and `root`: where the kernel shows cgroups.
std::optional<MemoryEvents> read_memory_events(const std::string& self = "/proc/self/cgroup",
                                               const std::string& root = "/sys/fs/cgroup");

/// The sender of a SIGKILL that this process did not send, by the counters before and after; a guess without counters.
std::string who_killed(const std::optional<MemoryEvents>& before, const std::optional<MemoryEvents>& after);

} // namespace mgpu::agent
