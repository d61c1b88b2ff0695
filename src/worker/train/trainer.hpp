#pragma once
// The training itself, on a rank's run thread: steps over the global batch, validations, checkpoints, stage after stage.
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "common/support/faults.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/training.hpp"
#include "worker/batch/micro_batch.hpp"
#include "worker/batch/trace_events.hpp"
#include "worker/collective/exchange.hpp"
#include "worker/device/device_streams.hpp"
#include "worker/train/checkpoint/checkpoint.hpp"
#include "worker/train/gradients.hpp"
#include "worker/train/loss_scale.hpp"
#include "worker/train/recorder.hpp"
#include "worker/train/sampler.hpp"
#include "worker/train/settings.hpp"
#include "worker/train/step_graphs.hpp"
#include "worker/train/unit_feed.hpp"

namespace mgpu::worker::train {

/// What a trainer says to rank 0. Called from its thread, `saved` from the checkpoint writer's.
struct Reports {
  std::function<void(const wire::Steps&)> steps;     ///< rank 0's trainer only
  std::function<void(const wire::Metrics&)> metrics; ///< rank 0's trainer only
  std::function<void(const wire::Skipped&)> skipped;
  std::function<void(const wire::Saved&)> saved;
  std::function<void(std::uint8_t level, const std::string& text)> log;
};

/// Where the time of the run thread went, seconds.
struct TimeSplit {
  double load_wait_s = 0, forward_s = 0, backward_s = 0, reduce_wait_s = 0, update_s = 0, load_s = 0;
};

struct DataSets {
  std::vector<Item> train, validation;
  std::map<std::pair<wire::DataPart, std::uint64_t>, std::string> given_up; ///< by part and row: why it is not to be prepared
};

/// Makes the exchange of a stage.
using OpenExchange =
    std::function<std::unique_ptr<collective::Exchange>(const collective::FlatLayout& layout, std::size_t stage)>;

class Trainer {
 public:
  Trainer(const Settings& settings, const RankContext& context, Training& training, std::vector<NamedTensor> in_order,
          const DataSets& data, DeviceStreams& streams, TraceEvents& trace, wire::ActivityTable& activity_table, Reports reports,
          OpenExchange open_exchange);
  ~Trainer();

  /// Trains from the beginning, or from the checkpoint in this folder, to the end or to a stop.
  void run(std::int64_t batch_size, const std::string& checkpoint);
  /// The step under way is finished, a checkpoint written. Any thread.
  void stop() { stop_ = true; }
  /// Ends at once: every wait throws `reason`. Any thread.
  void abort(const std::string& reason);

  TimeSplit times() const { return times_; }
  std::uint64_t samples() const { return samples_; }
  std::uint64_t skipped() const { return skipped_; }
  std::uint64_t units() const { return units_; }

 private:
  struct StepSums;

  void open_stage(std::size_t stage);
  void close_stage();
  void restore_from(const std::string& folder);
  void set_trainable(std::size_t stage);
  void check_single_samples();

  bool do_step();
  void run_unit(Unit& unit, bool last, StepSums& sums);
  void run_rows(const Batch& batch, std::int64_t begin, std::int64_t end, bool last, const std::vector<bool>& finished,
                StepSums& sums);
  torch::Tensor pass(const Batch& rows, double weight);
  std::optional<torch::Tensor> recorded_pass(const Batch& rows, double weight, bool last, const std::vector<bool>& finished);
  void check_unused();
  collective::Decision decide(std::span<const double> facts) const;
  void agree_on_memory(std::span<const double> facts);
  void watch_finite(std::span<const double> facts, const StepSums& sums);
  void report_step(const StepSums& sums, std::span<const double> facts, const collective::StepResult& result, double seconds);
  void flush_steps();
  void report_skipped(const LoadedBatch& loaded, wire::DataPart part);

  void validate();
  void evaluate_share(Sums& sums);
  bool is_best(const std::map<std::string, double>& values);
  void equalise_buffers();
  void save();
  void write_checkpoint();
  std::vector<NamedTensor> unsharded() const;
  nlohmann::json state() const;

  bool next_unit(wire::BatchRange& range);
  void prepare(wire::DataPart part, const Item& item, const Variation& variation, Sample& sample) const;
  Prefetcher::Settings loader_settings(wire::DataPart part, std::int64_t batch_size) const;

  const Settings settings_;
  const RankContext& context_;
  Training& training_;
  std::vector<NamedTensor> in_order_;    ///< all parameters
  std::set<std::string> frozen_in_file_; ///< parameters that came without requires_grad: no stage trains them
  const DataSets& data_;
  DeviceStreams& streams_;
  TraceEvents& trace_;
  wire::ActivityTable& activity_table_;
  Reports reports_;
  OpenExchange open_exchange_;

  std::optional<Plan> plan_;
  std::uint64_t step_ = 0;    ///< optimizer steps done
  std::uint64_t updates_ = 0; ///< of this stage that changed the parameters
  std::size_t stage_ = 0;
  MicroBatch micro_;
  LossScale loss_scale_;
  std::uint32_t not_finite_ = 0; ///< steps in a row
  std::optional<double> best_;   ///< of the best validation so far
  std::uint64_t best_step_ = 0;
  Faults faults_;
  std::unique_ptr<Recorder> recorder_; ///< with --cuda-graph

  // Of the stage under way.
  std::mutex exchange_mutex_; ///< guards the pointer against abort()
  std::unique_ptr<collective::Exchange> exchange_;
  std::unique_ptr<Gradients> gradients_;
  std::unique_ptr<StepGraphs> graphs_; ///< with --cuda-graph; they write into gradients_
  std::optional<Sampler> sampler_;
  std::unique_ptr<UnitFeed> feed_;
  std::uint64_t next_step_ = 0, next_unit_ = 0; ///< what the feed loads next

  CheckpointWriter checkpoints_;
  std::set<std::pair<std::uint8_t, std::uint64_t>> reported_; ///< items said to be unusable
  wire::Steps unsent_;
  std::chrono::steady_clock::time_point sent_;
  std::atomic<bool> stop_ = false;
  std::string abort_reason_;
  TimeSplit times_;
  std::uint64_t samples_ = 0, skipped_ = 0, units_ = 0;
};

} // namespace mgpu::worker::train
