#pragma once
#include <span>
#include <string_view>

namespace mgpu {

class Job;

/// A job this program knows: its name on the command line and how to make its agent side (the caller owns it).
struct JobEntry {
  std::string_view name;
  Job* (*make)();
};

/// The jobs of this program in the order of mgpu_add_program(… JOBS …), which generates these three functions.
std::span<const JobEntry> job_list();
/// The name of this program, "mgpu_run".
std::string_view program_name();
/// The name of the worker program in the same folder, "mgpu_worker".
std::string_view worker_name();

} // namespace mgpu
