#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/cli/options.hpp"
#include "agent/setup/run_setup.hpp"

namespace mgpu::agent {

/// Turns resolved options into a run: reads the manifest, checks model and output. Throws usage_error before any work.
RunSetup prepare_run(const std::string& job_name, const Job& job, const cli::Resolved& resolved, const std::string& command);

/// What waits for a preparation.
struct Waiting {
  std::function<void()>
      beat; ///< called every second: reading a million paths takes its time, and other ranks must hear that rank 0 lives
  std::function<std::string()> why_end; ///< "" or why it shall end now
  double stall_s = 0;                   ///< it may stand still so long, neither computing nor reading; 0: for ever
};

/// Does `work` on another thread. Throws Error (ExitCode::stopped) when `waiting` says so or the thread stands still for too long, as it
/// does where a file system does not answer: then it still runs, `left_behind` is set, and the process must leave by _exit.
RunSetup prepare_beside(const Waiting& waiting, bool& left_behind, const std::function<RunSetup()>& work);

} // namespace mgpu::agent
