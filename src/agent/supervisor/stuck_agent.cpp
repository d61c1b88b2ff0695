#include "agent/supervisor/stuck_agent.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

namespace mgpu::agent {

void end_stuck_agent(pid_t pid) {
  std::error_code error;
  const auto theirs = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
  if (pid <= 0 || pid == getpid() || error || theirs != std::filesystem::read_symlink("/proc/self/exe", error)) return;
  kill(pid, SIGKILL);
}

} // namespace mgpu::agent
