#pragma once
// Collective operations of the ranks of a training: sums of gradients, parameter updates, shared decisions. The implementations
// differ for ranks in one node's shared memory, nodes connected by their agents, and GPUs connected by NCCL.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu::worker::collective {

/// Elements [begin, end) of a flat buffer.
struct Slice {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
  bool operator==(const Slice&) const = default;
};

/// Layout of a network's numbers; the same for parameters, gradients and optimizer state.
struct FlatLayout {
  std::size_t elements = 0; ///< float32 numbers, padding included
  std::vector<Slice>
      buckets; ///< each is reduced as a whole, in the order in which backward finishes them; together they cover all elements
  std::vector<Slice> undecayed; ///< sorted: elements without weight decay (norms, biases)
};

enum class OptimizerKind : std::uint8_t { sgd, adamw };

/// Hyperparameters of an optimizer step. Formulas are PyTorch's: torch.optim.SGD, torch.optim.AdamW.
struct Hyper {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0, weight_decay = 0;
  double momentum = 0;                           ///< SGD
  bool nesterov = false;                         ///< SGD
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8; ///< AdamW
  std::uint64_t step = 1; ///< optimizer steps including this one: for AdamW's bias correction; SGD's momentum starts at 1
};

/// Number of optimizer state values per parameter: SGD 1 with momentum, else 0; AdamW 2.
int states_of(const Hyper& hyper);

/// The decision that follows from the shared facts.
struct Decision {
  bool update = true;        ///< false: do not change the parameters
  double gradient_scale = 1; ///< factor of the summed gradients
  Hyper hyper;
};

struct StepRequest {
  /// In: this rank's numbers (loss, samples, …). Out: their sums over all ranks, bit-equal on all of them.
  std::span<double> facts;
  /// Called on every rank with the sums; must return the same decision everywhere.
  std::function<Decision(std::span<const double>)> decide;
  double clip_norm = 0;      ///< limit of the global L2 norm of the gradients, which are scaled down to it; 0: no limit
  bool check_finite = false; ///< do not update when a summed gradient is not finite (float16)
};

struct StepResult {
  bool updated = false;
  double grad_norm = std::numeric_limits<double>::quiet_NaN(); ///< global, scaled, before clipping; NaN: not computed
  double wait_s = 0;   ///< time of waiting for other ranks and sums: exposed communication
  double update_s = 0; ///< time of the optimizer
};

/// One rank of an exchange. Every call that waits has a time limit: it then throws Error naming the missing ranks and the
/// operation. One thread makes the calls; abort() may be called by any thread.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Float32 [layout.elements] on the rank's device, initially zeros. The ranks of a node may share the parameters: only rank 0
  /// writes them (others by write_shard), then all call broadcast_parameters.
  virtual float* parameters() = 0;
  virtual float* gradients() = 0; ///< this rank's own

  /// Copies rank 0's parameters to all ranks.
  virtual void broadcast_parameters() = 0;

  /// A bucket of gradients is final on this rank; its sum may start. Not called while gradients are accumulated. From any thread.
  virtual void ready(std::size_t bucket) = 0;
  /// Completes the sums, decides, updates this rank's share and distributes the new parameters. Every rank calls it once per
  /// step; buckets without a call of ready() are ready now. Gradients may be overwritten afterwards.
  virtual StepResult step(const StepRequest& request) = 0;

  /// The parts of the flat buffers whose optimizer state this rank has (its part of a checkpoint). Sorted, disjoint; all ranks
  /// together cover all elements (several times if the state is not sharded).
  virtual std::vector<Slice> shard() const = 0;
  /// Copies the shard to or from the host: parameters (state -1) or an optimizer state, its parts one after another.
  virtual void read_shard(int state, std::span<float> out) = 0;
  virtual void write_shard(int state, std::span<const float> in) = 0;

  /// Sums small host vectors over all ranks, in the order of ranks: all ranks get the same bits. `what` names it in errors.
  virtual void sum(std::span<double> values, std::string_view what) = 0;
  /// Replaces `values` by their mean over the ranks (buffers such as running statistics).
  virtual void mean(std::span<float> values, std::string_view what) = 0;
  /// The smallest `value` of all ranks.
  virtual double least(double value, std::string_view what) = 0;
  void barrier(std::string_view what) { sum({}, what); }

  /// Makes every waiting and later call on this rank throw `reason`.
  virtual void abort(std::string_view reason) = 0;
};

} // namespace mgpu::worker::collective
