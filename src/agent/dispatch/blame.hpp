#pragma once
// Who is blamed when a worker dies. Only what was executing can be; what merely waited goes back as it was.
#include <cstdint>
#include <span>
#include <vector>

#include "agent/dispatch/lease_table.hpp"

namespace mgpu::agent::dispatch {

/// Rows of a batch that were in the hands of a worker when it died.
struct Suspect {
  std::uint64_t batch = 0;
  std::uint32_t begin = 0, rows = 0;
};

struct Death {
  std::vector<Suspect> suspects;
  bool certain = false;       ///< the suspects hold what killed it; else it was one of them, or something from outside
  std::int32_t gpu_of = -1;   ///< the rank whose GPU failed; -1: something else
  bool has_other_gpu = false; ///< another rank can try the suspects: a GPU that fails may do so whatever it is given
};

/// What becomes of a lease.
struct Verdict {
  std::vector<Lease> again;  ///< to be leased again, in order
  std::vector<Lease> failed; ///< single rows that have killed too many workers
};

/// A lease without a suspect goes back unchanged. A row that is certainly to blame is cut out and stands alone. A lease with suspects is
/// tried once more as it is; when that ends the same way it is halved, and again, until the poison stands alone. A row alone is
/// given up after `retries` + 1 deaths. Over what a GPU failed nothing is charged before another GPU has failed over it, too, where there is one.
Verdict judge(const Lease& lease, const Death& death, std::uint32_t retries);

} // namespace mgpu::agent::dispatch
