#pragma once
// The training loop on a rank's run thread: steps over the global batch, validations, checkpoints, stage after stage.
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/support/faults.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/training.hpp"
#include "worker/train/abortable_exchange.hpp"
#include "worker/train/active_stage.hpp"
#include "worker/train/checkpoint/checkpoint.hpp"
#include "worker/train/data_feeds.hpp"
#include "worker/train/environment.hpp"
#include "worker/train/progress.hpp"
#include "worker/train/recorder.hpp"
#include "worker/train/settings.hpp"
#include "worker/train/skipped_items.hpp"
#include "worker/train/step_facts.hpp"
#include "worker/train/step_reporter.hpp"
#include "worker/train/totals.hpp"
#include "worker/train/trainable_parameters.hpp"
#include "worker/train/validation.hpp"

namespace mgpu::worker::train {

/// A trainer's reports to rank 0. Called from its thread, `saved` from the checkpoint writer's.
struct Reports {
  std::function<void(const wire::Steps&)> steps;     ///< rank 0's trainer only
  std::function<void(const wire::Metrics&)> metrics; ///< rank 0's trainer only
  std::function<void(const wire::Skipped&)> skipped;
  std::function<void(const wire::Saved&)> saved;
  std::function<void(std::uint8_t level, const std::string& text)> log;
};

/// One rank of a training. All ranks run the same steps, validations and checkpoints together.
class Trainer {
 public:
  /// `in_order`: the parameters in the order of backward (Probe). References must outlive this object.
  Trainer(const Settings& settings, const RankContext& context, Training& training, std::vector<NamedTensor> in_order,
          const DataSets& data, DeviceStreams& streams, TraceEvents& trace, wire::ActivityTable& activity_table, Reports reports,
          OpenExchange open_exchange);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Trains from the beginning, or from the checkpoint in this folder, to the end or to a stop.
  void run(std::int64_t batch_size, const std::string& checkpoint);
  /// Stops after the current step and a checkpoint. Any thread.
  void stop() { stop_ = true; }
  /// Ends at once: every wait throws `reason`. Any thread.
  void abort(const std::string& reason) { exchange_.abort(reason); }

  const Totals& totals() const { return totals_; }

 private:
  void open_stage(std::size_t stage);
  void close_stage();
  bool do_step();
  collective::StepResult update(std::span<double> facts);
  void agree_on_memory(const StepFacts& facts);
  void watch_finite(const StepFacts& facts, const StepLosses& losses);
  void validate();
  void save_network();
  void write_checkpoint();
  void restore_from(const std::string& folder);
  std::vector<NamedTensor> unsharded() const;

  const Settings settings_;
  const RankContext& context_;
  Training& training_;
  const DataSets& data_;
  const Reports reports_;
  Faults faults_;
  const Environment environment_; ///< for the parts below
  Totals totals_;
  std::unique_ptr<Recorder> recorder_; ///< with --cuda-graph
  TrainableParameters parameters_;
  const DataFeeds feeds_;
  SkippedItems skipped_;
  StepReporter steps_;
  Validation validation_;
  std::optional<Plan> plan_;
  Progress progress_;
  AbortableExchange exchange_;
  std::unique_ptr<ActiveStage> stage_; ///< uses exchange_
  CheckpointWriter checkpoints_;
  std::atomic<bool> stop_ = false;
};

} // namespace mgpu::worker::train
