#pragma once
#include <span>
#include <string_view>

namespace mgpu {

class Work;
class Training;

/// A job of this worker: its name on the command line and the function that makes its worker side (the caller owns it), either
/// Work or Training.
struct WorkEntry {
  std::string_view name;
  Work* (*make)();              ///< nullptr for a training job
  Training* (*make_training)(); ///< nullptr for an item job
};

/// The jobs of this worker in the order of mgpu_add_program(… JOBS …), which generates this function.
std::span<const WorkEntry> work_list();

} // namespace mgpu
