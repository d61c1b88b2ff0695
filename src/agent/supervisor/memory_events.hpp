#pragma once
// Whether it was the kernel, short of memory, that killed a process: its own count says so, cgroup by cgroup.
#include <cstdint>
#include <optional>
#include <string>

namespace mgpu::agent {

/// What the kernel's out-of-memory killer has done in this process's cgroup, which its children share.
struct MemoryEvents {
  std::uint64_t kills = 0;
  std::uint64_t limit_bytes = 0; ///< of the cgroup and those it lies in: the least; 0: none
};

/// Of cgroup v2 or v1; nullopt where there is no such count. `self` and `root`: where the kernel shows cgroups.
std::optional<MemoryEvents> read_memory_events(const std::string& self = "/proc/self/cgroup",
                                               const std::string& root = "/sys/fs/cgroup");

/// Who sent a SIGKILL that this process did not send, by the counts before and after, or what may be guessed.
std::string who_killed(const std::optional<MemoryEvents>& before, const std::optional<MemoryEvents>& after);

} // namespace mgpu::agent
