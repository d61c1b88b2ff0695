#pragma once
#include <string>
#include <vector>

#include "agent/comm/environment.hpp"

namespace mgpu::agent {

/// `doctor` on every rank: 0, or 1 where something is wrong. `command`: as typed. Throws usage_error, ReportedByRank0, cli::HelpWanted.
int run_doctor(const comm::LauncherFacts& facts, const std::vector<std::string>& arguments, const std::string& command);

} // namespace mgpu::agent
