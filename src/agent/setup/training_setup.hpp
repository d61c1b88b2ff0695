#pragma once
// The additional setup of a training: labels, validation set, stages, the checkpoint to resume from. Resolved on rank 0 before
// any work.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/setup/checkpoints.hpp"
#include "agent/setup/labels.hpp"
#include "agent/write/journal/output_lock.hpp"
#include "mgpu/config.hpp"
#include "mgpu/job.hpp"

namespace mgpu::agent {

struct RunSetup;

struct TrainingSetup {
  manifest::StringColumn labels; ///< of the training set, by row
  std::optional<LabelledSet> validation;
  std::vector<std::string> classes;                    ///< cross_entropy and bce
  nlohmann::json made_of;                              ///< SHA-256 by option: of the lists (paths and columns) and of the model
  std::string checkpoints;                             ///< folder
  std::shared_ptr<write::OutputLock> checkpoints_lock; ///< two trainings may not share a folder
  std::optional<Checkpoint> begin;                     ///< checkpoint that --resume continues from
};

/// Sets options that depend on others: --lr by the optimizer, --checkpoint-dir by --output, and with --experiment-name the
/// folder runs/NAME and the files in it. Before anything is read.
Config resolve_training(const Config& config);

/// Reads labels, validation set, stages and checkpoints after the training set was read; sets `classes` and `stages` in the run's
/// config. Throws usage_error.
void prepare_training(RunSetup& setup);

} // namespace mgpu::agent
