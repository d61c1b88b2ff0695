#pragma once
#include "agent/comm/environment.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// The facts that this rank reports to rank 0. First undoes the launcher's binding to one core (Open MPI binds a rank, and its
/// children inherit the binding), so that the worker can be given its share of the node.
wire::Join describe_rank(const comm::LauncherFacts& facts, const comm::Environment& environment);

} // namespace mgpu::agent
