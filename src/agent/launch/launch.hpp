#pragma once
// `mgpu_run launch`: runs a job under mpirun and restarts it when it is lost.
#include <string>
#include <vector>

#include "agent/launch/command.hpp"
#include "agent/launch/status.hpp"

namespace mgpu::agent::launch {

/// Runs `mgpu_run launch ARGUMENTS`; returns the job's exit code. Throws usage_error, cli::HelpWanted.
int run(const std::vector<std::string>& arguments);

/// How one start of a job ended.
struct End {
  bool spoke = false;         ///< rank 0 has written a status
  Status status;              ///< its last one
  int mpirun_code = 0;        ///< mpirun's own exit code; 128 + signal when it was killed
  bool asked_to_stop = false; ///< by a signal to the launcher
};

/// The decision: start again, or exit with `exit_code`. judge() is pure.
struct Verdict {
  bool again = false;
  int exit_code = 0;
};
Verdict judge(const End& end, int starts, int max_restarts);

} // namespace mgpu::agent::launch
