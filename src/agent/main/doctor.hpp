#pragma once
#include "agent/comm/environment.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// `doctor` on rank 0: prints what every rank sees, with warnings. Ends the other ranks; false if one did not join or answer.
bool gather_and_print(comm::Messenger& messenger, WorkerLink& worker, const wire::Join& own_join);

} // namespace mgpu::agent
