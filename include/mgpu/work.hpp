#pragma once
#include <torch/torch.h>

#include <any>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/columns.hpp"
#include "mgpu/config.hpp"
#include "mgpu/item.hpp"

namespace mgpu {

/// Who and where a worker is.
struct RankContext {
  int rank = 0, world_size = 1;
  int local_rank = 0, local_size = 1; ///< among the ranks of this node
  std::string host;
  torch::Device device = torch::kCPU; ///< the rank's own device, already current
  torch::ScalarType dtype = torch::kFloat32;
  int threads = 1; ///< intra-op threads, already set
  int loaders = 1; ///< threads that will call Work::prepare
  std::int64_t batch_size = 1;
  Config config;          ///< every resolved option, the job's own among them
  std::string model_path; ///< local file or bundle folder to read the model from; "" if the job has no --model
  /// Says how far opening is ("reading weights", 0.4); shown by rank 0.
  std::function<void(std::string_view stage, double fraction)> progress = [](std::string_view, double) {};
};

/// Shape and type of one prepared row, when every item has the same.
struct RowSpec {
  std::vector<std::int64_t> shape; ///< without the batch dimension, e.g. {3, 224, 224}
  torch::ScalarType type = torch::kFloat32;
};

/// What `prepare` makes of one item.
struct Sample {
  torch::Tensor input; ///< with a RowSpec: this item's row of the batch, to be filled in place; else undefined, to be assigned
                       ///< ([…, T]; rows of a batch are padded with zeros along the last dimension)
  std::any extra;      ///< anything `run` needs for this item beside the tensor
};

/// One batch as `run` sees it. Rows whose `prepare` failed are zeros and their outputs are dropped.
struct Batch {
  torch::Tensor input;            ///< [B, …] on the rank's device
  torch::Tensor lengths;          ///< [B] int64 on the rank's device: valid size of the last dimension; undefined with a RowSpec
  std::vector<const Item*> items; ///< [B]
  std::vector<const std::any*> extra; ///< [B], Sample::extra
  std::vector<bool> ok;               ///< [B] false: prepare failed
  std::vector<torch::Tensor> targets; ///< each [B, …] on the rank's device: Training::targets; empty outside training
  /// The values of `lengths` and `targets` in host memory, where a job reads them without waiting for the device. Undefined and empty in
  /// a pass that is recorded (--cuda-graph), as a replay would go on with the values of the first.
  torch::Tensor host_lengths;
  std::vector<torch::Tensor> host_targets;
  std::int64_t size() const { return static_cast<std::int64_t>(items.size()); }
};

/// What `run` returns, by column name. The set of columns, their types and layouts must be the same for every batch.
class Outputs {
 public:
  /// Fixed column: value is [B, …], any device; copied to the host.
  void add(std::string name, torch::Tensor value);
  /// Ragged column: one tensor a row, [n_i, element shape…], all of one type.
  void add_ragged(std::string name, std::vector<torch::Tensor> rows);
  /// Text column: one UTF-8 string a row.
  void add_text(std::string name, std::vector<std::string> rows);
  /// Marks one row as failed with a reason; its other outputs are dropped.
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
/// Order of calls: open once; then prepare (many loader threads at once, one item each) and run (one thread, one batch at a
/// time), overlapping. An exception from prepare fails that item; one from run makes the engine try the rows one by one, so
/// that only those that fail alone are lost.
class Work {
 public:
  virtual ~Work() = default;
  /// Opens the model on context.device. Throws Error: the run ends with its code before any work (usage_error for a bad model).
  virtual void open(const RankContext& context) = 0;
  /// The common shape of prepared rows; nullopt when rows differ in length. Called after open.
  virtual std::optional<RowSpec> row_spec() const { return std::nullopt; }
  /// A made-up row for the trial run that fixes the output columns before any work; default: zeros of row_spec. A job without
  /// row_spec returns a short sample here, or an undefined tensor to skip the trial. `variant` 0 and 1 should differ in length.
  virtual torch::Tensor trial_row(int variant) const;
  /// Class names, for the agent's Job::finish and for reading the result file; called after open.
  virtual std::vector<std::string> labels() const { return {}; }
  /// Lines for the user and the rank's log, asked for once after the last batch ("nvJPEG decoded 980 pictures, the CPU 20: …").
  virtual std::vector<std::string> remarks() const { return {}; }
  /// Turns one item into sample.input. Thread-safe, under torch::InferenceMode. Throws Error with the reason the item cannot be
  /// used. A given row holds what an earlier batch left there: every element must be written.
  virtual void prepare(const Item& item, Sample& sample) = 0;
  /// Runs the batch on the device. Called under torch::InferenceMode.
  virtual void run(const Batch& batch, Outputs& outputs) = 0;
};

} // namespace mgpu

/// Names a job's worker side; jobs/CMakeLists.txt (mgpu_add_job) refers to it by NAME.
#define MGPU_WORK(NAME, TYPE)                      \
  extern "C" mgpu::Work* mgpu_make_work_##NAME() { \
    return new TYPE;                               \
  }
