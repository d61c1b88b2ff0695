#pragma once
// Decides which rows are charged when a worker dies. Only rows that were executing can be; waiting leases return unchanged.
#include <cstdint>
#include <span>
#include <vector>

#include "agent/dispatch/lease_table.hpp"

namespace mgpu::agent::dispatch {

/// Rows of a batch that a worker was executing when it died.
struct Suspect {
  std::uint64_t batch = 0;
  std::uint32_t begin = 0, rows = 0;
};

struct Death {
  std::vector<Suspect> suspects;
  bool certain = false;       ///< a suspect killed the worker; else the cause may be external
  std::int32_t gpu_of = -1;   ///< the rank whose GPU failed; -1: something else
  bool has_other_gpu = false; ///< another rank can try the suspects: a faulty GPU may fail on any input
};

/// The result for one lease.
struct Verdict {
  std::vector<Lease> again;  ///< to lease again, in order
  std::vector<Lease> failed; ///< single rows that have killed too many workers
};

/// A lease without suspects returns unchanged. A single row that is certainly to blame becomes a lease of its own. Any other
/// lease with suspects is retried once as it is, then halved after each further death, until the bad row is alone. A single row
/// fails after `retries` + 1 deaths. After a GPU failure nothing is charged until a second GPU has failed on the lease, if there
/// is another GPU.
Verdict judge(const Lease& lease, const Death& death, std::uint32_t retries);

} // namespace mgpu::agent::dispatch
