#pragma once
#include "agent/comm/environment.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// What this rank tells rank 0 of itself. Undoes the launcher's binding of the process to one core first (Open MPI binds a rank
/// and its children inherit it), so that the worker can be given its share of the node.
wire::Join describe_rank(const comm::LauncherFacts& facts, const comm::Environment& environment);

} // namespace mgpu::agent
