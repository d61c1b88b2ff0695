#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace mgpu {

/// Exit codes of the program (docs/architecture.md, "Exit codes").
enum class ExitCode : int {
  ok = 0,           ///< every item done
  failed = 1,       ///< the job failed; one line says why, on which rank, host and item
  usage = 2,        ///< bad usage, or unusable input, model or output; said before any work
  items_failed = 3, ///< finished; some items failed, each recorded with its reason
  stopped = 75,     ///< stopped early; the same command with --resume goes on
};

/// What a failure of an item is put down to. By `io` and `memory` the rank may be the reason, not the item: it is tried on another one.
/// `device`: the GPU itself; its process ends. `collective`: another rank of a training is missing, or the link to it is broken.
enum class Cause : std::uint8_t { item = 0, io = 1, memory = 2, device = 3, collective = 4 };

/// The one exception of the project. `what()` is one line a user can act on.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failed) : std::runtime_error(message), code_(code) {}

  ExitCode code() const noexcept { return code_; }

  int rank = -1;          ///< rank it happened on; -1: unknown or not tied to one
  std::int64_t item = -1; ///< manifest row it concerns; -1: none
  Cause cause = Cause::item;
  std::string call; ///< library call that failed, e.g. "H5Dcreate2"; "": none

 private:
  ExitCode code_;
};

/// Bad usage or unusable input, model or output: exit code 2, thrown before any work.
inline Error usage_error(const std::string& message) {
  return Error(message, ExitCode::usage);
}

/// A file that cannot be opened or read here: the item is tried once on another rank.
inline Error io_error(const std::string& message) {
  Error error(message);
  error.cause = Cause::io;
  return error;
}

} // namespace mgpu
