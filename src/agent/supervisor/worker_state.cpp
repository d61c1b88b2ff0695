#include "agent/supervisor/worker_state.hpp"

#include <array>
#include <cstddef>

namespace mgpu::agent {

namespace {

using enum WorkerState;

constexpr std::size_t states = 9, events = 9;

// A row per state, a column per event.
constexpr std::array<std::array<WorkerState, events>, states> table{{
    //            configure  opened     failure    halt       late       finish     replaced   give_up   dismiss
    /*starting*/ {opening, starting, starting, starting, starting, finishing, starting, given_up, dismissed},
    /*opening*/ {opening, working, failing, halting, killed, finishing, starting, given_up, dismissed},
    /*working*/ {working, working, failing, halting, killed, finishing, starting, given_up, dismissed},
    /*failing*/ {failing, failing, failing, halting, killed, finishing, starting, given_up, dismissed},
    /*halting*/ {halting, halting, halting, halting, killed, finishing, starting, given_up, dismissed},
    /*killed*/ {killed, killed, killed, killed, killed, finishing, starting, given_up, dismissed},
    /*finishing*/ {finishing, finishing, finishing, finishing, finishing, finishing, finishing, given_up, dismissed},
    /*given_up*/ {given_up, given_up, given_up, given_up, given_up, given_up, given_up, given_up, given_up},
    /*dismissed*/ {dismissed, dismissed, dismissed, dismissed, dismissed, dismissed, dismissed, dismissed, dismissed},
}};

constexpr std::array<std::string_view, states> names{"starting", "opening",   "working",  "failing",  "halting",
                                                     "killed",   "finishing", "given up", "dismissed"};

} // namespace

WorkerState next(WorkerState state, WorkerEvent event) {
  return table[static_cast<std::size_t>(state)][static_cast<std::size_t>(event)];
}

std::string_view name_of(WorkerState state) {
  return names[static_cast<std::size_t>(state)];
}

} // namespace mgpu::agent
