#pragma once
// How the ranks of a training run act as one: gradients are summed, parameters updated, decisions shared. Behind this interface lies
// all that differs between ranks that share a node's memory, nodes that are joined by their agents, and GPUs joined by NCCL.
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

/// How the numbers of a network lie one after another: parameters, gradients and optimizer state have the same places.
struct FlatLayout {
  std::size_t elements = 0;     ///< float32 numbers, padding included
  std::vector<Slice> buckets;   ///< reduced as one, in the order in which backward finishes them; together they are all elements
  std::vector<Slice> undecayed; ///< sorted: no weight decay here (norms, biases)
};

enum class OptimizerKind : std::uint8_t { sgd, adamw };

/// What an optimizer step multiplies with. Formulas are PyTorch's: torch.optim.SGD, torch.optim.AdamW.
struct Hyper {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0, weight_decay = 0;
  double momentum = 0;                           ///< SGD
  bool nesterov = false;                         ///< SGD
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8; ///< AdamW
  std::uint64_t step = 1; ///< optimizer steps done including this one: AdamW's bias correction; SGD's momentum begins at 1
};

/// State numbers the optimizer keeps for each parameter: SGD 1 with momentum, else 0; AdamW 2.
int states_of(const Hyper& hyper);

/// What follows from the facts all ranks have shared.
struct Decision {
  bool update = true;        ///< false: leave the parameters as they are
  double gradient_scale = 1; ///< summed gradients are multiplied with it
  Hyper hyper;
};

struct StepRequest {
  /// In: this rank's numbers (loss, samples, …). Out: their sums over all ranks, bit-equal on all of them.
  std::span<double> facts;
  /// Called on every rank with the sums; must decide the same everywhere.
  std::function<Decision(std::span<const double>)> decide;
  double clip_norm = 0;      ///< gradients are scaled down to this global L2 norm; 0: never
  bool check_finite = false; ///< do not update when a summed gradient is not finite (float16)
};

struct StepResult {
  bool updated = false;
  double grad_norm = std::numeric_limits<double>::quiet_NaN(); ///< global, scaled, before clipping; NaN: was not needed
  double wait_s = 0;                                           ///< waiting for other ranks and their sums: exposed communication
  double update_s = 0;                                         ///< the optimizer
};

/// One rank's end. Every call that waits has an end: it throws Error naming the ranks that are missing and the operation. Calls are
/// made by one thread; abort() may come from any.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Float32 [layout.elements] on the rank's device, zeros at first. Parameters may be shared by the ranks of a node: rank 0 alone
  /// writes them (others by write_shard), then all call broadcast_parameters.
  virtual float* parameters() = 0;
  virtual float* gradients() = 0; ///< this rank's own

  /// Takes rank 0's parameters everywhere.
  virtual void broadcast_parameters() = 0;

  /// A bucket of gradients is final on this rank; its sum may begin. Not called while gradients are accumulated. From any thread.
  virtual void ready(std::size_t bucket) = 0;
  /// Completes the sums, decides, updates this rank's share and makes new parameters visible everywhere. Every rank calls it once a
  /// step; buckets not announced by ready() count as ready now. Gradients may be overwritten afterwards.
  virtual StepResult step(const StepRequest& request) = 0;

  /// The parts of the flat buffers whose optimizer state this rank keeps (its checkpoint part). Sorted, disjoint; all ranks
  /// together cover all elements (several times where state is not sharded).
  virtual std::vector<Slice> shard() const = 0;
  /// Host copies of the shard: parameters (state -1) or an optimizer state, the parts one after another.
  virtual void read_shard(int state, std::span<float> out) = 0;
  virtual void write_shard(int state, std::span<const float> in) = 0;

  /// Sums small host vectors over all ranks, in order of rank: every rank gets the same bits. `what` names it in errors.
  virtual void sum(std::span<double> values, std::string_view what) = 0;
  /// Replaces `values` by their mean over the ranks (buffers such as running statistics).
  virtual void mean(std::span<float> values, std::string_view what) = 0;
  /// Largest and smallest are sums' cousins: the smallest of a number over all ranks.
  virtual double least(double value, std::string_view what) = 0;
  void barrier(std::string_view what) { sum({}, what); }

  /// Makes every waiting and later call on this rank throw `reason`.
  virtual void abort(std::string_view reason) = 0;
};

} // namespace mgpu::worker::collective
