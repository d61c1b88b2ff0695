#pragma once
// OUTPUT.status.json: rank 0's status for observers. mpirun's exit code is not enough: it is 0 when a node's daemon is lost.
#include <cstdint>
#include <optional>
#include <string>

namespace mgpu::agent::launch {

/// The environment variable with the token of one start of a job; rank 0 copies it to its status.
inline constexpr const char* token_variable = "MGPU_LAUNCH_TOKEN";

struct Status {
  std::string token; ///< of the start it belongs to; "" under a plain mpirun
  std::string host;  ///< where rank 0 runs
  std::int64_t pid = 0;
  std::uint64_t beat = 0; ///< increases every few seconds during the run
  bool done = false;
  int exit_code = 0;          ///< when done
  bool lost_machines = false; ///< when done: the run ended because ranks or mpirun were lost
};

std::string status_path(const std::string& output);

/// nullopt when there is no status, or none that can be read.
std::optional<Status> read_status(const std::string& output);

/// Replaces the file as a whole; with `durable` it is on the disk (fsync) before this returns. Throws Error.
void write_status(const std::string& output, const Status& status, bool durable);

} // namespace mgpu::agent::launch
