#pragma once
// `mgpu_run doctor`: what every rank sees, and what would make a job fail or slow.
#include <cstddef>
#include <string>
#include <vector>

#include "agent/comm/environment.hpp"
#include "agent/doctor/findings.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent::doctor {

struct Options {
  std::string output; ///< of the job to come; ""
};

/// Throws usage_error; cli::HelpWanted for --help.
Options parse(const std::vector<std::string>& arguments);

struct Verdict {
  bool all_here = false; ///< every rank appeared, answered and left
  std::size_t findings = 0;
};

/// On rank 0: asks every rank, prints what they see and what is wrong. Sends the ranks home.
Verdict examine(comm::Messenger& messenger, WorkerLink& worker, const wire::Join& own_join, const Options& options,
                const Surroundings& around);

} // namespace mgpu::agent::doctor
