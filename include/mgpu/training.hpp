#pragma once
#include "mgpu/tensor.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/item.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// Variation of one visit of a sample. It is the same for any number of ranks and after a resume.
struct Variation {
  std::uint64_t seed = 0; ///< seed of this sample in this epoch
  double strength = 0;    ///< factor for the augmentation. 1: the job's options; 0: none (validation)
};

/// A parameter or buffer with its name.
struct NamedTensor {
  std::string name; ///< "layer1.0.conv1.weight"
  torch::Tensor tensor;
};

/// The sums of a validation. They are added over all ranks, then divided.
class Sums {
 public:
  /// Adds to a mean ("loss", "accuracy", "cer"): `value` is a sum over `weight` samples, characters or words.
  void add(const std::string& name, double value, double weight);
  /// Adds one sample of class `label` to the table by class.
  void add_class(std::int64_t label, bool right);

  std::map<std::string, std::pair<double, double>> means; ///< by name: sum of values, sum of weights
  std::vector<std::pair<double, double>> classes;         ///< by class: right samples, all samples
};

/// The worker's side of a training job: a network, its input and its loss. The engine implements everything else: the order of
/// samples, gradients and their reduction, the optimizer, mixed precision, validation, checkpoints.
///
/// Order of calls: open; then a trial step on trial rows and the items' labels (row_spec, trial_row, targets, parameters, buffers,
/// set_training, loss); then the training: prepare on many loader threads at once, and on one thread set_training, targets, loss,
/// evaluate, save.
class Training {
 public:
  virtual ~Training() = default;
  /// Opens the network on context.device, in float32. Throws usage_error.
  virtual void open(const RankContext& context) = 0;
  /// As Work::row_spec and Work::trial_row. A training without a RowSpec must return a trial row.
  virtual std::optional<RowSpec> row_spec() const { return std::nullopt; }
  virtual torch::Tensor trial_row(int variant) const;
  /// All trainable tensors: float32 leaves in a fixed order. Before the first step the engine replaces their storage by views of its
  /// buffer (set_data).
  virtual std::vector<NamedTensor> parameters() = 0;
  /// Other tensors that are kept equal on all ranks: running statistics.
  virtual std::vector<NamedTensor> buffers() { return {}; }
  /// Train mode (dropout, batch statistics) or evaluation mode.
  virtual void set_training(bool on) = 0;
  /// As Work::prepare, but not under InferenceMode. The same bits for the same item and variation.
  virtual void prepare(const Item& item, const Variation& variation, Sample& sample) = 0;
  /// Targets of these rows: tensors [B, …] on the host, the same number for every batch. They are copied to the device together with the
  /// input and passed to loss and evaluate as Batch::targets. `rows` has only rows that could be prepared; its input and lengths are on the
  /// host.
  virtual std::vector<torch::Tensor> targets(const Batch& /*rows*/) const { return {}; }
  /// Mean loss over the batch, a scalar with a graph. The batch has only rows that could be prepared. Called under autocast if --dtype is
  /// not float32. With --cuda-graph its host code runs a few times only, with blank items; for later batches its device operations are
  /// replayed.
  virtual torch::Tensor loss(const Batch& batch) = 0;
  /// Adds a batch of the validation set to the sums. Called under NoGradGuard.
  virtual void evaluate(const Batch& batch, Sums& sums) = 0;
  /// Class names, for the table by class; may be empty.
  virtual std::vector<std::string> labels() const { return {}; }
  /// As Work::remarks.
  virtual std::vector<std::string> remarks() const { return {}; }
  /// Writes the trained network to `path`, in a form that `infer` can open. Called on rank 0 only.
  virtual void save(const std::string& path) = 0;
};

} // namespace mgpu

/// Defines the worker's side of training job NAME, the name in mgpu_add_job(NAME TRAINING).
#define MGPU_TRAINING(NAME, TYPE)                          \
  extern "C" mgpu::Training* mgpu_make_training_##NAME() { \
    return new TYPE;                                       \
  }
