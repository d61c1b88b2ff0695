#pragma once
// The numbers by which all ranks decide the same after a step's backward.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "worker/collective/exchange.hpp"
#include "worker/train/step_sums.hpp"

namespace mgpu::worker::train {

/// A rank's numbers for StepRequest::facts. `stop`: this rank was asked to stop after the step.
std::vector<double> facts_of(const StepSums& sums, const StepLosses& losses, bool stop, int rank, int world_size);

/// Reads the facts after they were summed over the ranks. A view: they must outlive it.
class StepFacts {
 public:
  explicit StepFacts(std::span<const double> facts) : facts_(facts) {}
  double loss_sum() const;
  double rows() const;    ///< that took part
  double skipped() const; ///< that could not be prepared
  bool finite() const;    ///< the losses of all ranks
  bool out_of_memory() const;
  bool stop() const;
  /// Whether the step may change the parameters.
  bool usable() const { return finite() && rows() > 0; }
  /// "rank 1 (the batch of item 7), rank 2 (…)": where losses are not finite; the same text on every rank.
  std::string where_not_finite() const;

 private:
  std::span<const double> facts_;
};

/// What follows from them. Gradients were weighted by `samples`, the planned size of the global batch, and by `loss_scale`.
collective::Decision decide(const StepFacts& facts, std::uint64_t samples, double loss_scale, const collective::Hyper& hyper);

} // namespace mgpu::worker::train
