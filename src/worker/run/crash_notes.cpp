#include "worker/run/crash_notes.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <exception>

#include "common/wire/control_messages.hpp"
#include "worker/device/reason.hpp"

namespace mgpu::worker {

namespace {

constexpr std::array<int, 5> crashes{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
wire::ActivityTable* noted_on = nullptr;
std::array<struct sigaction, 65> before;

/// Async-signal-safe: atomics in shared memory, sigaction, raise.
void note(int signal) {
  noted_on->note_crash(signal);
  sigaction(signal, &before[static_cast<std::size_t>(signal)], nullptr);
  raise(signal); // delivered when this handler returns
}

std::terminate_handler terminate_before = nullptr;

[[noreturn]] void end_in_words() {
  try {
    if (const auto current = std::current_exception()) std::rethrow_exception(current);
  } catch (const std::exception& error) {
    if (const auto trouble = device_trouble(error); trouble != wire::DeviceTrouble::none) {
      noted_on->note_final_words(reason_of(error), static_cast<std::uint8_t>(trouble));
      _exit(static_cast<int>(ExitCode::failed));
    }
  } catch (...) {
    // Another exception: the process ends as without this handler.
  }
  if (terminate_before != nullptr) terminate_before();
  std::abort();
}

} // namespace

void note_crashes(wire::ActivityTable& board) {
  noted_on = &board;
  terminate_before = std::set_terminate(end_in_words);
  struct sigaction action {};
  action.sa_handler = note;
  for (const int signal : crashes) sigaction(signal, &action, &before[static_cast<std::size_t>(signal)]);
}

} // namespace mgpu::worker
