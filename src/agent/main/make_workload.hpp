#pragma once
#include <memory>

#include "agent/coordinator/workload.hpp"

namespace mgpu::agent {

/// Makes the workload of the setup: training or items.
std::unique_ptr<Workload> make_workload(RunControl& control);

} // namespace mgpu::agent
