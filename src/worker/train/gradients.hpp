#pragma once
// A network's parameters and gradients as two flat buffers, filled by autograd and passed to the exchange bucket by bucket.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::train {

inline constexpr std::size_t first_bucket_bytes = 1u << 20; ///< small, so that reduction starts early (as in PyTorch's DDP)
inline constexpr std::size_t bucket_bytes = 25u << 20;

/// A parameter and its place in the flat buffers.
struct Placed {
  NamedTensor parameter;
  std::size_t offset = 0; ///< elements
  std::size_t bucket = 0;
};

struct FlatNetwork {
  std::vector<Placed> placed;
  collective::FlatLayout layout;
};
/// Lays out parameters in the order in which backward finished them, each aligned to a cache line; buckets are multiples of
/// `parts` elements. decay_norms false: no weight decay for biases and the parameters of norms.
FlatNetwork lay_out(const std::vector<NamedTensor>& in_order, bool decay_norms, std::size_t parts = 1);

/// A hash of names, shapes and order, which must be equal on all ranks and in a checkpoint.
std::string signature_of(const std::vector<NamedTensor>& parameters);

/// Calls `done(index)` when backward has completed the gradient of parameters[index]. The destructor removes the hooks.
class BackwardWatch {
 public:
  BackwardWatch(const std::vector<NamedTensor>& parameters, std::function<void(std::size_t)> done);
  ~BackwardWatch();
  BackwardWatch(const BackwardWatch&) = delete;
  BackwardWatch& operator=(const BackwardWatch&) = delete;

 private:
  std::vector<NamedTensor> parameters_;
};

/// Gradients of one optimizer step: a parameter's first gradient is copied into its place, later ones are added. Autograd's
/// tensor is freed at once, so that there is no second copy of the gradients.
class Gradients {
 public:
  /// Moves the parameters and their values into exchange.parameters().
  Gradients(FlatNetwork network, collective::Exchange& exchange, torch::Device device);
  /// Gives the parameters their own storage again.
  ~Gradients();
  Gradients(const Gradients&) = delete;
  Gradients& operator=(const Gradients&) = delete;

  /// Call it before the first backward of a step.
  void begin_step();
  /// Call it before each backward. `last`: it completes the step's gradients, so their reduction may start while it runs.
  void begin_backward(bool last);
  /// After a backward that ran out of memory: the parameters whose gradients it has finished, for begin_part().
  std::vector<bool> finished() const { return finished_; }
  /// As begin_backward, for a part of a batch for which `finished` parameters already have their gradient.
  void begin_part(bool last, const std::vector<bool>& finished);

  // --- passes that are recorded once and replayed (step_graphs.hpp) ---
  /// Which of the parameters have a gradient in this step.
  enum class Written : std::uint8_t { none, some, all };
  Written written() const;
  /// As begin_backward, for a pass that is being recorded: the recording writes to the places as they are needed now, and reports
  /// finished buckets to `announce` instead of the exchange.
  void begin_recorded(bool last, std::function<void(std::size_t bucket)> announce);
  /// After a replay of a pass that gave the `wrote` parameters their gradients: as if their hooks had been called.
  void end_replay(bool last, const std::vector<bool>& wrote);
  /// After a failed recording, which computed nothing: restores the state before it. Not allowed if written() was `some`.
  void forget_pass(Written before);

  /// After the last backward: places without a gradient become zero. Returns the names of these parameters.
  std::vector<std::string> end_step();

  const FlatNetwork& network() const { return network_; }

 private:
  void on_gradient(std::size_t index);
  void note_final(std::size_t index);

  FlatNetwork network_;
  collective::Exchange& exchange_;
  std::vector<torch::Tensor> places_; ///< views of the flat gradients, with the parameters' strides
  std::vector<bool> written_;         ///< in this step
  std::vector<bool> finished_;        ///< in this backward
  std::vector<std::size_t> missing_;  ///< by bucket: parameters whose gradients are not final
  std::vector<bool> final_;
  std::size_t next_bucket_ = 0; ///< buckets are announced in order, because collectives must have the same order on all ranks
  bool last_ = false;
  std::function<void(std::size_t)> announce_; ///< called for finished buckets; may be empty
  std::unique_ptr<BackwardWatch> watch_;
};

} // namespace mgpu::worker::train
