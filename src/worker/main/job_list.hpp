#pragma once
#include <span>
#include <string_view>

namespace mgpu {

class Work;
class Training;

/// A job this worker knows: its name on the command line and how to make its worker side (the caller owns it), of one kind or the
/// other.
struct WorkEntry {
  std::string_view name;
  Work* (*make)();              ///< nullptr: a job that trains
  Training* (*make_training)(); ///< nullptr: a job that works items off
};

/// The jobs of this worker in the order of mgpu_add_program(… JOBS …), which generates this function.
std::span<const WorkEntry> work_list();

} // namespace mgpu
