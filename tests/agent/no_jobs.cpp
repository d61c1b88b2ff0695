// What mgpu_add_program() generates for a program, of one without jobs.
#include "agent/cli/job_list.hpp"

namespace mgpu {

std::span<const JobEntry> job_list() {
  return {};
}
std::string_view program_name() {
  return "mgpu_run";
}
std::string_view worker_name() {
  return "mgpu_worker";
}

} // namespace mgpu
