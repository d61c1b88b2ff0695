#pragma once
// A network's parameters and gradients as two flat buffers, filled by autograd and handed to the exchange bucket by bucket.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::train {

inline constexpr std::size_t first_bucket_bytes = 1u
                                                  << 20; ///< small, so that reduction begins early (PyTorch's DDP does the same)
inline constexpr std::size_t bucket_bytes = 25u << 20;

/// One parameter's place.
struct Placed {
  NamedTensor parameter;
  std::size_t offset = 0; ///< elements
  std::size_t bucket = 0;
};

struct FlatNetwork {
  std::vector<Placed> placed;
  collective::FlatLayout layout;
};
/// Lays parameters out in the order in which backward finished them, each at a cache line; buckets are multiples of `parts` elements.
/// decay_norms false: biases and the parameters of norms have no weight decay.
FlatNetwork lay_out(const std::vector<NamedTensor>& in_order, bool decay_norms, std::size_t parts = 1);

/// A hash of names, shapes and order: what must be equal on all ranks, and in a checkpoint.
std::string signature_of(const std::vector<NamedTensor>& parameters);

/// Watches backward: calls `done(index)` when the gradient of parameters[index] is complete. The hooks go with the object.
class BackwardWatch {
 public:
  BackwardWatch(const std::vector<NamedTensor>& parameters, std::function<void(std::size_t)> done);
  ~BackwardWatch();
  BackwardWatch(const BackwardWatch&) = delete;
  BackwardWatch& operator=(const BackwardWatch&) = delete;

 private:
  std::vector<NamedTensor> parameters_;
};

/// Gradients of one optimizer step: the first of a parameter is copied into its place, later ones are added, and what autograd made
/// is freed at once, so that there is no second copy of the gradients.
class Gradients {
 public:
  /// Moves the parameters into exchange.parameters() (their values too).
  Gradients(FlatNetwork network, collective::Exchange& exchange, torch::Device device);
  /// Gives the parameters storage of their own again.
  ~Gradients();
  Gradients(const Gradients&) = delete;
  Gradients& operator=(const Gradients&) = delete;

  /// Before the first backward of a step.
  void begin_step();
  /// Before each backward. `last`: its gradients complete the step's, so their reduction may begin while it runs.
  void begin_backward(bool last);
  /// After a backward that ran out of memory: what it had finished stays; later calls of begin_rest() leave those parameters alone.
  std::vector<bool> finished() const { return finished_; }
  /// As begin_backward, for a part of a batch of which `finished` parameters have their gradient already.
  void begin_part(bool last, const std::vector<bool>& finished);

  // --- passes that are recorded once and replayed (step_graphs.hpp) ---
  /// How many of the parameters have a gradient in this step.
  enum class Written : std::uint8_t { none, some, all };
  Written written() const;
  /// As begin_backward, in a pass that is being recorded: it does to the places what they need now, and tells finished buckets to
  /// `announce` instead of the exchange.
  void begin_recorded(bool last, std::function<void(std::size_t bucket)> announce);
  /// After a replay of a pass that gave the parameters `wrote` their gradients: as if their hooks had been called.
  void end_replay(bool last, const std::vector<bool>& wrote);
  /// After a recording that failed, of which nothing was computed: as before it. Not where written() was `some`.
  void forget_pass(Written before);

  /// After the last backward: places nobody wrote to become zero. Returns the parameters that took no part.
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
  std::size_t next_bucket_ = 0; ///< buckets are announced in order: collectives must meet in the same order on all ranks
  bool last_ = false;
  std::function<void(std::size_t)> announce_; ///< hears of finished buckets; empty: nobody does
  std::unique_ptr<BackwardWatch> watch_;
};

} // namespace mgpu::worker::train
