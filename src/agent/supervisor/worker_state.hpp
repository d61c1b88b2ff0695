#pragma once
// The states of a rank's worker, as its supervisor sees it: one enum, one transition table.
#include <cstdint>
#include <string_view>

namespace mgpu::agent {

enum class WorkerState : std::uint8_t {
  starting,  ///< the process has started; no configuration yet
  opening,   ///< configured; opens the model
  working,   ///< the model is open
  failing,   ///< has reported a failure and should end by itself
  halting,   ///< was told to end at once
  killed,    ///< was late: SIGKILL was sent, its end is awaited
  finishing, ///< no more work: its end is the end of the rank
  given_up,  ///< the rank has no worker any more
  dismissed, ///< the supervisor was told to end it
};

enum class WorkerEvent : std::uint8_t {
  configure, ///< rank 0 sent its configuration
  opened,    ///< it has opened the model
  failure,   ///< it reported a failure that another worker may not meet
  halt,      ///< rank 0 told it to end at once
  late,      ///< the watchdog found it late, or it did not end in time
  finish,    ///< rank 0 has no more work
  replaced,  ///< it has ended and was replaced
  give_up,   ///< it has ended and is not replaced
  dismiss,   ///< this process ends
};

/// The state after `event`; `state` itself where the event changes nothing.
WorkerState next(WorkerState state, WorkerEvent event);

/// "opening"; for messages and tests.
std::string_view name_of(WorkerState state);

/// The watchdog watches it: it is configured and may not end by itself.
constexpr bool is_watched(WorkerState state) {
  return state >= WorkerState::opening && state <= WorkerState::killed;
}

} // namespace mgpu::agent
