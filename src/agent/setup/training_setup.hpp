#pragma once
// What a training run needs beside what every run needs: labels, the validation set, stages, the checkpoint to go on from. Resolved on
// rank 0 before any work.
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
  std::shared_ptr<write::OutputLock> checkpoints_lock; ///< trainings of two outputs may share no folder
  std::optional<Checkpoint> begin;                     ///< --resume continues from it
};

/// Fills in the names that follow from others: --lr by the optimizer, --checkpoint-dir by --output, and with --experiment-name the
/// folder runs/NAME and all in it. Before anything is read.
Config resolve_training(const Config& config);

/// Reads labels, validation set, stages and checkpoints of a run whose training set is read; puts `classes` and `stages` into its config.
/// Throws usage_error.
void prepare_training(RunSetup& setup);

} // namespace mgpu::agent
