#pragma once
#include "common/wire/activity_table.hpp"

namespace mgpu::worker {

/// From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is noted on the board, with the thread's activity, before the process ends
/// by it as it would have.
/// Likewise an error of the GPU that a destructor throws, as LibTorch's tensors do once the process's CUDA context has failed: it is noted as the
/// worker's final words, and the process ends with exit code 1.
void note_crashes(wire::ActivityTable& board);

} // namespace mgpu::worker
