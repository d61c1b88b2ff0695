#pragma once
#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/item.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// How one visit of a sample differs from another: equal for any number of ranks, and after a resume.
struct Variation {
  std::uint64_t seed = 0; ///< of this sample in this epoch
  double strength = 0;    ///< of augmentation, 1: as the job's options say; 0: none (validation)
};

struct NamedTensor {
  std::string name; ///< "layer1.0.conv1.weight"
  torch::Tensor tensor;
};

/// What a validation adds up; summed over all ranks, then divided.
class Sums {
 public:
  /// Adds to a mean ("loss", "accuracy", "cer"): `value` is the sum over `weight` things.
  void add(const std::string& name, double value, double weight);
  /// Adds one sample of class `label` to the table by class.
  void add_class(std::int64_t label, bool right);

  std::map<std::string, std::pair<double, double>> means; ///< by name: Σ value, Σ weight
  std::vector<std::pair<double, double>> classes;         ///< by class: right, all
};

/// The worker's side of a training job: a network, what is fed to it, and its loss. The engine owns everything else: the order of
/// samples, gradients and their reduction, the optimizer, mixed precision, validation, checkpoints.
///
/// Order of calls: open; parameters, buffers; then prepare (many loader threads at once) and, on one thread, set_training, targets,
/// loss, evaluate, save.
class Training {
 public:
  virtual ~Training() = default;
  /// Opens the network on context.device, in float32. Throws usage_error.
  virtual void open(const RankContext& context) = 0;
  /// As Work::row_spec and Work::trial_row.
  virtual std::optional<RowSpec> row_spec() const { return std::nullopt; }
  virtual torch::Tensor trial_row(int variant) const;
  /// Everything trainable, leaf tensors of float32 in a fixed order. The engine replaces their storage by views of its own
  /// (set_data), before the first loss.
  virtual std::vector<NamedTensor> parameters() = 0;
  /// What is kept equal on all ranks beside parameters: running statistics.
  virtual std::vector<NamedTensor> buffers() { return {}; }
  /// Train mode (dropout, batch statistics) or not.
  virtual void set_training(bool on) = 0;
  /// As Work::prepare.
  virtual void prepare(const Item& item, const Variation& variation, Sample& sample) = 0;
  /// What the loss of these rows needs beside their input, made on the host; it travels to the device together with the input and is
  /// handed to loss and evaluate as Batch::targets. Tensors of [B, …], as many for every batch. Every row is good: those that could not
  /// be prepared were taken out; input and lengths are on the host.
  virtual std::vector<torch::Tensor> targets(const Batch& /*rows*/) const { return {}; }
  /// Mean loss over the batch, a scalar with a graph. Every row is good. Called under autocast when --dtype asks for it. With --cuda-graph
  /// its host code runs a few times only, on items that say nothing, and what it did to the device is done again for later batches.
  virtual torch::Tensor loss(const Batch& batch) = 0;
  /// Adds a batch of the validation set to the sums; under NoGradGuard.
  virtual void evaluate(const Batch& batch, Sums& sums) = 0;
  /// Names of classes, for the table by class; may be empty.
  virtual std::vector<std::string> labels() const { return {}; }
  /// As Work::remarks.
  virtual std::vector<std::string> remarks() const { return {}; }
  /// Writes the trained network to `path`, so that `infer` runs it at once. Rank 0 only.
  virtual void save(const std::string& path) = 0;
};

} // namespace mgpu

/// Names a training job's worker side; jobs/CMakeLists.txt (mgpu_add_job … TRAINING) refers to it by NAME.
#define MGPU_TRAINING(NAME, TYPE)                          \
  extern "C" mgpu::Training* mgpu_make_training_##NAME() { \
    return new TYPE;                                       \
  }
