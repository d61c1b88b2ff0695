#pragma once
// The life of a rank's worker, as its supervisor sees it: one enum, one table.
#include <cstdint>
#include <string_view>

namespace mgpu::agent {

enum class WorkerState : std::uint8_t {
  starting,  ///< the process has started; it has no configuration yet
  opening,   ///< configured; it opens the model
  working,   ///< the model is open
  failing,   ///< it has reported a failure and is to end by itself
  halting,   ///< it was told to end at once
  killed,    ///< it was late: SIGKILL was sent, its end is awaited
  finishing, ///< there is no more work: its end is the rank's
  given_up,  ///< the rank has no worker any more
  dismissed, ///< the supervisor itself was told to end it
};

enum class WorkerEvent : std::uint8_t {
  configure, ///< rank 0 sent its configuration
  opened,    ///< it has opened the model
  failure,   ///< it reported a failure that another worker may not meet
  halt,      ///< rank 0 wants it to end at once
  late,      ///< the watchdog found it late, or it did not end in time
  finish,    ///< rank 0 has no more work
  replaced,  ///< it has ended, and another has taken its place
  give_up,   ///< it has ended, and none takes its place
  dismiss,   ///< this process ends
};

/// The state after `event`; `state` itself where the event changes nothing.
WorkerState next(WorkerState state, WorkerEvent event);

/// "opening"; for messages and tests.
std::string_view name_of(WorkerState state);

/// It has a configuration and no end in sight that is its own: the watchdog looks at it.
constexpr bool is_watched(WorkerState state) {
  return state >= WorkerState::opening && state <= WorkerState::killed;
}

} // namespace mgpu::agent
