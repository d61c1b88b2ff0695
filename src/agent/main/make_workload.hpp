#pragma once
#include <memory>

#include "agent/coordinator/workload.hpp"

namespace mgpu::agent {

/// What the setup asks for: a training, or items one by one.
std::unique_ptr<Workload> make_workload(RunControl& control);

} // namespace mgpu::agent
