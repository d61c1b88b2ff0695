#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/cli/options.hpp"
#include "agent/setup/run_setup.hpp"

namespace mgpu::agent {

/// Makes a run from resolved options: reads the manifest, checks model and output. Throws usage_error before any work.
RunSetup prepare_run(const std::string& job_name, const Job& job, const cli::Resolved& resolved, const std::string& command);

/// The caller's side of a preparation in the background.
struct Waiting {
  std::function<void()> beat;           ///< called every second: reading a long list must not delay rank 0's heartbeats
  std::function<std::string()> why_end; ///< "", or the reason to end now
  double stall_s = 0;                   ///< time limit without processor time or reads; 0: none
};

/// Runs `work` on another thread. Throws Error (ExitCode::stopped) when `waiting` gives a reason or the thread makes no progress
/// for too long, for example when a file system does not respond: it then still runs, `left_behind` is set, and the process must
/// end by _exit.
RunSetup prepare_beside(const Waiting& waiting, bool& left_behind, const std::function<RunSetup()>& work);

} // namespace mgpu::agent
