#include "agent/supervisor/process_usage.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace mgpu::agent {

ProcessUsage usage_of(pid_t pid) {
  ProcessUsage usage;
  const std::string folder = fmt::format("/proc/{}/", pid);
  std::ifstream stat(folder + "stat"), io(folder + "io");
  std::string line;
  std::getline(stat, line);
  if (const auto name_end = line.rfind(") "); name_end != std::string::npos) { // the name may have blanks
    std::istringstream fields(line.substr(name_end + 2));
    std::string skipped;
    std::uint64_t user = 0, system = 0;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    fields >> user >> system;
    usage.cpu_s = static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  std::string name;
  for (std::uint64_t bytes = 0; io >> name >> bytes;)
    if (name == "rchar:" || name == "wchar:" || name == "read_bytes:") usage.io_bytes += bytes;
  return usage;
}

} // namespace mgpu::agent
