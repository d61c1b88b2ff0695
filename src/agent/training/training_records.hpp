#pragma once
// What a training leaves on the disk while it runs: its curves and its checkpoints.
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

  /// Continues behind `begin`, or from the first step; what lies there of an earlier training behind it is removed. `ranks`: that train.
  void open(const std::optional<Checkpoint>& begin, int ranks);
  bool is_open() const { return history_.has_value(); }

  // The rest needs open().
  void add(const wire::Step& step) { history_->add(step); }
  void add(const wire::Metrics& metrics) { history_->add(metrics); }
  /// A part of a checkpoint is on its disk, of the `number`th rank of those that train.
  void saved(int number, wire::Saved saved) { checkpoints_->saved(number, std::move(saved)); }
  /// Completes checkpoints whose parts are all there, when the curves up to them are on the disk, too. `facts`: what checkpoint.json is to
  /// say; asked for each. Their folders.
  std::vector<std::string> complete(const std::function<nlohmann::json()>& facts);
  /// The curves, on the disk.
  std::vector<write::Series> series();
  /// The folder of the last checkpoint that this run completed; "": none.
  const std::string& last_checkpoint() const { return last_checkpoint_; }

  /// The curves are in the result file, or of no use.
  void remove_curves() noexcept;
  /// The folder of checkpoints goes if it is empty but for the lock.
  void remove_empty_folder() const noexcept;

 private:
  const RunSetup& setup_;
  std::size_t keep_;
  std::optional<write::History> history_;
  std::optional<Checkpoints> checkpoints_;
  std::string last_checkpoint_;
};

/// What checkpoint.json says of the training beside what the workers tell; without the validations, which records know.
nlohmann::json checkpoint_facts(const RunSetup& setup, const Config& config, const TrainingPlan& plan,
                                const wire::Trainable& trainable, const UnusableItems& unusable);

} // namespace mgpu::agent
