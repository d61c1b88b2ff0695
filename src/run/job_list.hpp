#pragma once
#include <span>
#include <string_view>

namespace mgpu {

class Work;

/// A job this worker knows: its name on the command line and how to make its worker side (the caller owns it).
struct WorkEntry {
  std::string_view name;
  Work* (*make)();
};

/// The jobs of this worker in the order of mgpu_add_program(… JOBS …), which generates this function.
std::span<const WorkEntry> work_list();

} // namespace mgpu
