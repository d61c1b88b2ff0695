#pragma once
#include "agent/setup/run_setup.hpp"
#include "agent/write/journal/identity.hpp"

namespace mgpu::agent {

/// The identity of the run as known before the ranks start: all but the kind of device, an automatic batch size, and the hashes
/// of model and items.
write::Identity identity_of(const RunSetup& setup);

} // namespace mgpu::agent
