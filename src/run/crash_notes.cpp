#include "run/crash_notes.hpp"

#include <signal.h>

#include <array>

namespace mgpu {

namespace {

constexpr std::array<int, 5> crashes{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
wire::FlightBoard* noted_on = nullptr;
std::array<struct sigaction, 65> before;

/// Only what is safe in a signal handler: atomics in shared memory, sigaction, raise.
void note(int signal) {
  noted_on->note_crash(signal);
  sigaction(signal, &before[static_cast<std::size_t>(signal)], nullptr);
  raise(signal); // comes when this handler returns
}

} // namespace

void note_crashes(wire::FlightBoard& board) {
  noted_on = &board;
  struct sigaction action {};
  action.sa_handler = note;
  for (const int signal : crashes) sigaction(signal, &action, &before[static_cast<std::size_t>(signal)]);
}

} // namespace mgpu
