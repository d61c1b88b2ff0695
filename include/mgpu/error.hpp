#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace mgpu {

/// Exit codes of the program (docs/architecture.md, "Exit codes").
enum class ExitCode : int {
  ok = 0,           ///< every item done
  failed = 1,       ///< the job failed; one line says why, on which rank, host and item
  usage = 2,        ///< bad usage, or unusable input, model or output; reported before any work
  items_failed = 3, ///< finished; some items failed, each recorded with its reason
  stopped = 75,     ///< stopped early; the same command with --resume continues
};

/// Cause of a failure. For `io` and `memory` the cause may be the rank and not the item: the item is tried on another rank.
/// `device`: the GPU failed; its process ends. `collective`: another rank of a training is missing, or the link to it is broken.
enum class Cause : std::uint8_t { item = 0, io = 1, memory = 2, device = 3, collective = 4 };

/// The exception type of the project. `what()` is one line that a user can act on.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failed) : std::runtime_error(message), code_(code) {}

  ExitCode code() const noexcept { return code_; }

  int rank = -1;          ///< rank of the error; -1: unknown or none
  std::int64_t item = -1; ///< manifest row of the error; -1: none
  Cause cause = Cause::item;
  std::string call; ///< failed library call, for example "H5Dcreate2"; "": none

 private:
  ExitCode code_;
};

/// Bad usage or unusable input, model or output: exit code 2, thrown before any work.
inline Error usage_error(const std::string& message) {
  return Error(message, ExitCode::usage);
}

/// A file that cannot be opened or read on this rank: the item is tried once on another node or rank.
inline Error io_error(const std::string& message) {
  Error error(message);
  error.cause = Cause::io;
  return error;
}

} // namespace mgpu
