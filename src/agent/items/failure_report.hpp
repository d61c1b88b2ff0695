#pragma once
#include <cstdint>
#include <string>

#include "agent/coordinator/workload.hpp"
#include "agent/items/gatherer.hpp"

namespace mgpu::agent::items {

/// What a person hears of items that fail while the run goes on.
class FailureReport {
 public:
  explicit FailureReport(RunControl& control) : control_(control) {}
  /// `failed_before`: items that failed before; of many only the first are shown.
  void add(int rank, const FailedItem& failed, std::uint64_t failed_before);
  /// A wrong folder or model fails everything: said once, while there is time to stop. `done`: items, of which none was done by an earlier run.
  void warn_if_all_fail(std::uint64_t done);

 private:
  RunControl& control_;
  FailedItem first_;
  std::uint64_t alike_ = 0; ///< items that failed for the reason of the first
  bool warned_ = false;
};

} // namespace mgpu::agent::items
