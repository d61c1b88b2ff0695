#pragma once
#include <string>
#include <vector>

#include "mgpu/bundle_job.hpp"

namespace mgpu {

/// The agent's side of a job that trains a network: all options of training (loss, optimizer, schedule, batches, augmentation,
/// checkpoints, stages) and their checks. A job adds its summary and examples. The network is on the worker's side (mgpu/training.hpp).
/// The engine reads labels, checkpoints and stages before any work.
class TrainingJob : public BundleJob {
 public:
  bool trains() const override { return true; }
  std::vector<OptionSpec> options() const override;
  /// Throws usage_error for a value that is unusable for every training.
  void check(const Config& config) const override;
  /// Columns in addition to the label, which every item carries (column "label").
  std::vector<std::string> item_columns(const Config&) const override { return {}; }
  /// Prints nothing: the results of a training are its curves and its checkpoints.
  void finish(const Config&, const Results&, std::ostream&) const override {}
};

} // namespace mgpu
