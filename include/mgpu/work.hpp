#pragma once
#include "mgpu/tensor.hpp"

#include <any>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/columns.hpp"
#include "mgpu/config.hpp"
#include "mgpu/item.hpp"

namespace mgpu {

/// The rank of a worker, its device and its options.
struct RankContext {
  int rank = 0, world_size = 1;
  int local_rank = 0, local_size = 1; ///< within the ranks of this node
  std::string host;
  torch::Device device = at::kCPU; ///< the rank's device, already current
  torch::ScalarType dtype = at::kFloat;
  int threads = 1; ///< intra-op threads, already set
  int loaders = 1; ///< number of threads that call Work::prepare
  std::int64_t batch_size = 1;
  Config config;          ///< all resolved options, including the job's own
  std::string model_path; ///< local model file or bundle folder; "" if no --model is given
  /// Reports the progress of open ("reading weights", 0.4); rank 0 shows it.
  std::function<void(std::string_view stage, double fraction)> progress = [](std::string_view, double) {};
};

/// Shape and type of one prepared row, if all items have the same.
struct RowSpec {
  std::vector<std::int64_t> shape; ///< without the batch dimension, e.g. {3, 224, 224}
  torch::ScalarType type = at::kFloat;
};

/// Result of `prepare` for one item.
struct Sample {
  torch::Tensor input; ///< with a RowSpec: this item's row of the batch, to be filled in place; else undefined, to be assigned
                       ///< ([…, T]; rows of a batch are padded with zeros along the last dimension)
  std::any extra;      ///< additional data for `run`
};

/// One batch, the argument of `run`. Rows whose `prepare` failed are zeros, and their outputs are dropped.
struct Batch {
  torch::Tensor input;            ///< [B, …] on the rank's device
  torch::Tensor lengths;          ///< [B] int64 on the rank's device: valid size of the last dimension; undefined with a RowSpec
  std::vector<const Item*> items; ///< [B]
  std::vector<const std::any*> extra; ///< [B], Sample::extra
  std::vector<bool> ok;               ///< [B]; false: prepare failed
  std::vector<torch::Tensor> targets; ///< each [B, …] on the rank's device: Training::targets; empty outside training
  /// The values of `lengths` and `targets` in host memory, which a job can read without waiting for the device. Undefined and empty in
  /// a recorded pass (--cuda-graph), because a replay would keep the values of the recording.
  torch::Tensor host_lengths;
  std::vector<torch::Tensor> host_targets;
  std::int64_t size() const { return static_cast<std::int64_t>(items.size()); }
};

/// Results of `run` by column name. The columns, their types and layouts must be the same for every batch.
class Outputs {
 public:
  /// Fixed column: `value` is [B, …] on any device; it is copied to the host.
  void add(std::string name, torch::Tensor value);
  /// Ragged column: one tensor per row, [n_i, element shape…], all of one type.
  void add_ragged(std::string name, std::vector<torch::Tensor> rows);
  /// Text column: one UTF-8 string per row.
  void add_text(std::string name, std::vector<std::string> rows);
  /// Marks one row as failed with a reason. Its outputs are dropped.
  void fail(std::int64_t row, std::string reason);

  struct Column {
    std::string name;
    Layout layout;
    torch::Tensor fixed;
    std::vector<torch::Tensor> ragged;
    std::vector<std::string> text;
  };
  std::vector<Column> columns;
  std::vector<std::pair<std::int64_t, std::string>> failures;
};

/// The worker's side of a job.
///
/// Order of calls: open once; then prepare (on many loader threads at once, one item each) and run (on one thread, one batch at a
/// time) overlap. An exception from prepare fails its item. After an exception from run the engine tries the batch again in halves, down to
/// single rows, so that only rows that fail alone are lost.
class Work {
 public:
  virtual ~Work() = default;
  /// Opens the model on context.device. An Error ends the run before any work, with its exit code (usage_error for a bad model).
  virtual void open(const RankContext& context) = 0;
  /// The common shape of prepared rows; nullopt if rows differ in length. Called after open.
  virtual std::optional<RowSpec> row_spec() const { return std::nullopt; }
  /// Row for the trial run, which determines the output columns before any work; default: zeros of row_spec. A job without a
  /// row_spec returns a short sample, or an undefined tensor to skip the trial. `variant` 0 and 1 should differ in length.
  virtual torch::Tensor trial_row(int variant) const;
  /// Class names; may be empty. Called after open.
  virtual std::vector<std::string> labels() const { return {}; }
  /// Lines for the user and the rank's log. Called once, after the last batch ("nvJPEG decoded 980 pictures, the CPU 20: …").
  virtual std::vector<std::string> remarks() const { return {}; }
  /// Prepares one item: fills or sets sample.input. Must be thread-safe; called under torch::InferenceMode. Throws Error with the reason if
  /// the item cannot be used. A given row contains data of an earlier batch: every element must be written.
  virtual void prepare(const Item& item, Sample& sample) = 0;
  /// Runs the batch on the device. Called under torch::InferenceMode.
  virtual void run(const Batch& batch, Outputs& outputs) = 0;
};

} // namespace mgpu

/// Defines the worker's side of job NAME, the name in mgpu_add_job with underscores for dashes.
#define MGPU_WORK(NAME, TYPE)                      \
  extern "C" mgpu::Work* mgpu_make_work_##NAME() { \
    return new TYPE;                               \
  }
