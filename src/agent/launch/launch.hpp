#pragma once
// `mgpu_run launch`: a job under mpirun, kept going.
#include <string>
#include <vector>

#include "agent/launch/command.hpp"
#include "agent/launch/status.hpp"

namespace mgpu::agent::launch {

/// Runs `mgpu_run launch ARGUMENTS`; the job's exit code. Throws usage_error, cli::HelpWanted.
int run(const std::vector<std::string>& arguments);

/// How one start of a job ended.
struct End {
  bool spoke = false;         ///< rank 0 left a status
  Status status;              ///< its last one
  int mpirun_code = 0;        ///< mpirun's own exit code; 128 + signal when it was killed
  bool asked_to_stop = false; ///< by a signal to the launcher
};

/// What follows from it: the exit code to leave with, or another start. Pure.
struct Verdict {
  bool again = false;
  int exit_code = 0;
};
Verdict judge(const End& end, int starts, int max_restarts);

} // namespace mgpu::agent::launch
