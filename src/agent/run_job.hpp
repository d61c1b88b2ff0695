#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/run_setup.hpp"
#include "cli/options.hpp"
#include "comm/messenger.hpp"

namespace mgpu::agent {

/// Turns resolved options into a run: reads the manifest, checks model and output. Throws usage_error before any work.
RunSetup prepare_run(const std::string& job_name, const Job& job, const cli::Resolved& resolved, const std::string& command);

/// Does `work` on another thread while rank 0's other ranks hear every second that it lives: reading a million paths takes its time.
RunSetup keep_alive(comm::Messenger& messenger, const std::function<RunSetup()>& work);

} // namespace mgpu::agent
