#pragma once
#include <string>
#include <vector>

namespace mgpu::agent {

/// The commands with one process: inspect, export, verify, recover, merge, --help, --version. Throws usage_error for an unknown one.
/// Returns the exit code.
int run_tool(const std::string& name, const std::vector<std::string>& arguments);

} // namespace mgpu::agent
