#pragma once
// OUTPUT.status.json: what rank 0 says of its run to those who cannot trust mpirun's exit code, which is 0 when a node's daemon is lost.
#include <cstdint>
#include <optional>
#include <string>

namespace mgpu::agent::launch {

/// The environment variable that names one start of a job; rank 0 repeats it in its status.
inline constexpr const char* token_variable = "MGPU_LAUNCH_TOKEN";

struct Status {
  std::string token; ///< of the start it belongs to; "" under a plain mpirun
  std::string host;  ///< where rank 0 runs
  std::int64_t pid = 0;
  std::uint64_t beat = 0; ///< grows every few seconds while the run goes on
  bool done = false;
  int exit_code = 0;          ///< when done
  bool lost_machines = false; ///< when done: ranks or mpirun were lost, and nobody asked for the end
};

std::string status_path(const std::string& output);

/// Nothing where there is no status, or none that can be read.
std::optional<Status> read_status(const std::string& output);

/// Replaces it as a whole; with `durable` it is on the disk (fsync) before this returns. Throws Error.
void write_status(const std::string& output, const Status& status, bool durable);

} // namespace mgpu::agent::launch
