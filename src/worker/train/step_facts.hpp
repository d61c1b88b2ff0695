#pragma once
// The numbers by which all ranks make the same decision after a step's backward.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "worker/collective/exchange.hpp"
#include "worker/train/step_sums.hpp"

namespace mgpu::worker::train {

/// A rank's numbers for StepRequest::facts. `stop`: this rank was told to stop after the step.
std::vector<double> facts_of(const StepSums& sums, const StepLosses& losses, bool stop, int rank, int world_size);

/// Reads the facts after they were summed over the ranks. The facts must outlive this view.
class StepFacts {
 public:
  explicit StepFacts(std::span<const double> facts) : facts_(facts) {}
  double loss_sum() const;
  double rows() const;    ///< rows that were used
  double skipped() const; ///< rows that could not be prepared
  bool finite() const;    ///< whether the losses of all ranks are finite
  bool out_of_memory() const;
  bool stop() const;
  /// Whether the step may change the parameters.
  bool usable() const { return finite() && rows() > 0; }
  /// The ranks whose losses are not finite: "rank 1 (the batch of item 7), rank 2 (…)"; the same text on every rank.
  std::string where_not_finite() const;

 private:
  std::span<const double> facts_;
};

/// The decision that follows. Gradients were weighted by `samples`, the planned size of the global batch, and by `loss_scale`.
collective::Decision decide(const StepFacts& facts, std::uint64_t samples, double loss_scale, const collective::Hyper& hyper);

} // namespace mgpu::worker::train
