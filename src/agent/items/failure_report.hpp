#pragma once
#include <cstdint>
#include <string>

#include "agent/coordinator/workload.hpp"
#include "agent/items/gatherer.hpp"

namespace mgpu::agent::items {

/// Reports failed items during the run.
class FailureReport {
 public:
  explicit FailureReport(RunControl& control) : control_(control) {}
  /// `failed_before`: number of earlier failed items; only the first max_reasons_shown are printed.
  void add(int rank, const FailedItem& failed, std::uint64_t failed_before);
  /// Warns once if all items failed for one reason, such as a wrong folder or model. `done`: items done, none by an earlier run.
  void warn_if_all_fail(std::uint64_t done);

 private:
  RunControl& control_;
  FailedItem first_;
  std::uint64_t alike_ = 0; ///< items that failed for the reason of the first
  bool warned_ = false;
};

} // namespace mgpu::agent::items
