#pragma once
// Whether a process does anything: one that computes nothing and reads nothing stands still.
#include <sys/types.h>

#include <cstdint>

namespace mgpu::agent {

/// What a process has done since it began.
struct ProcessUsage {
  double cpu_s = 0;           ///< of all its threads
  std::uint64_t io_bytes = 0; ///< read and written, whatever from or to
};

/// All zero for a process that is gone. Source: proc(5); of /proc/PID/stat fields 14 and 15 are user and system time in clock ticks; of
/// /proc/PID/io rchar and wchar count all reads and writes, read_bytes what a mapped file brought in.
ProcessUsage usage_of(pid_t pid);

} // namespace mgpu::agent
