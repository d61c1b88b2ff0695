#pragma once
#include "agent/setup/run_setup.hpp"
#include "agent/write/journal/identity.hpp"

namespace mgpu::agent {

/// What run this is, as far as it is known before the ranks are: all but the kind of device, a batch size that is found later, and the
/// hashes of model and items.
write::Identity identity_of(const RunSetup& setup);

} // namespace mgpu::agent
