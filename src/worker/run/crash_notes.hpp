#pragma once
#include "common/wire/activity_table.hpp"

namespace mgpu::worker {

/// From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is recorded in the activity table, with the thread's activity,
/// before the process ends by the signal.
/// A GPU error that a destructor throws, as LibTorch's tensors do when the process's CUDA context has failed, is recorded as the
/// worker's final words, and the process ends with exit code 1.
void note_crashes(wire::ActivityTable& board);

} // namespace mgpu::worker
