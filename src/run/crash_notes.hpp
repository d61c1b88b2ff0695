#pragma once
#include "wire/flight.hpp"

namespace mgpu {

/// From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is noted on the board, with the thread's activity, before the process ends
/// by it as it would have.
void note_crashes(wire::FlightBoard& board);

} // namespace mgpu
