#pragma once
#include <string>
#include <vector>

#include "mgpu/bundle_job.hpp"

namespace mgpu {

/// The agent's side of a job that trains a network: every option of training (loss, optimizer, schedule, batches, augmentation,
/// checkpoints, stages) and what can be checked of them alone. A job adds its summary and examples; what it trains stands on its
/// worker's side (mgpu/training.hpp). Labels, checkpoints and stages are read by the engine before any work.
class TrainingJob : public BundleJob {
 public:
  bool trains() const override { return true; }
  std::vector<OptionSpec> options() const override;
  /// Throws usage_error for a value that no training can have.
  void check(const Config& config) const override;
  /// Those that travel with an item beside its label, which always does (column "label").
  std::vector<std::string> item_columns(const Config&) const override { return {}; }
  /// Nothing: a training's results are its curves and its checkpoints.
  void finish(const Config&, const Results&, std::ostream&) const override {}
};

} // namespace mgpu
