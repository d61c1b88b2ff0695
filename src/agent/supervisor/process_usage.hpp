#pragma once
// Processor time and reads of a process: without either it makes no progress.
#include <sys/types.h>

#include <cstdint>

namespace mgpu::agent {

/// The totals of a process since its start.
struct ProcessUsage {
  double cpu_s = 0;           ///< of all its threads
  std::uint64_t io_bytes = 0; ///< read and written, to any file or socket
};

/// All zero for a process that has ended. Source: proc(5): in /proc/PID/stat fields 14 and 15 are user and system time in clock
/// ticks; in /proc/PID/io rchar and wchar count all reads and writes, read_bytes counts pages of mapped files.
ProcessUsage usage_of(pid_t pid);

} // namespace mgpu::agent
