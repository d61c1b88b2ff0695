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

/// The one exception of the project. `what()` is one line a user can act on.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failed) : std::runtime_error(message), code_(code) {}

  ExitCode code() const noexcept { return code_; }

  int rank = -1;          ///< rank it happened on; -1: unknown or not tied to one
  std::int64_t item = -1; ///< manifest row it concerns; -1: none
  std::string call;       ///< library call that failed, e.g. "H5Dcreate2"; "": none

 private:
  ExitCode code_;
};

/// Bad usage or unusable input, model or output: exit code 2, thrown before any work.
inline Error usage_error(const std::string& message) {
  return Error(message, ExitCode::usage);
}

} // namespace mgpu
