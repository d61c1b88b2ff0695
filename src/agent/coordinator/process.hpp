#pragma once
#include <functional>

#include "agent/coordinator/signals.hpp"
#include "common/support/clock.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// The process as an event loop sees it; tests replace it.
struct Process {
  Clock clock = mgpu::now_s; ///< called by several threads
  std::function<wire::Signal()> stop_request = agent::stop_request;
  std::function<bool()> launcher_gone = agent::launcher_gone;
};

} // namespace mgpu::agent
