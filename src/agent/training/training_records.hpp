#pragma once
// The files that a training writes during the run: its curves and its checkpoints.
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/setup/checkpoints.hpp"
#include "agent/setup/run_setup.hpp"
#include "agent/training/training_plan.hpp"
#include "agent/training/unusable_items.hpp"
#include "agent/write/journal/history.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

class TrainingRecords {
 public:
  /// `keep`: --keep-checkpoints.
  TrainingRecords(const RunSetup& setup, std::size_t keep) : setup_(setup), keep_(keep) {}

  /// Continues after `begin`, or starts at the first step; removes later records of an earlier training. `ranks`: how many train.
  void open(const std::optional<Checkpoint>& begin, int ranks);
  bool is_open() const { return history_.has_value(); }

  // All functions below need open().
  void add(const wire::Step& step) { history_->add(step); }
  void add(const wire::Metrics& metrics) { history_->add(metrics); }
  /// A part of a checkpoint is on the disk; `number`: of the rank among those that train.
  void saved(int number, wire::Saved saved) { checkpoints_->saved(number, std::move(saved)); }
  /// Completes checkpoints that have all their parts, when the curves up to their step are on the disk, too. `facts`: the content
  /// of checkpoint.json, called for each. Returns the folders.
  std::vector<std::string> complete(const std::function<nlohmann::json()>& facts);
  /// The curves, after they were synced to the disk.
  std::vector<write::Series> series();
  /// The folder of the last checkpoint that this run completed; "": none.
  const std::string& last_checkpoint() const { return last_checkpoint_; }

  /// Removes the file of curves, when they are in the result file or of no use.
  void remove_curves() noexcept;
  /// Removes the folder of checkpoints if it is empty but for the lock.
  void remove_empty_folder() const noexcept;

 private:
  const RunSetup& setup_;
  std::size_t keep_;
  std::optional<write::History> history_;
  std::optional<Checkpoints> checkpoints_;
  std::string last_checkpoint_;
};

/// The facts of the training in checkpoint.json, without those of the workers and the number of validations (in the records).
nlohmann::json checkpoint_facts(const RunSetup& setup, const Config& config, const TrainingPlan& plan,
                                const wire::Trainable& trainable, const UnusableItems& unusable);

} // namespace mgpu::agent
