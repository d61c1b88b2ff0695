#pragma once
// A rank's passes (forward, loss, backward of some rows), recorded once and replayed: --cuda-graph.

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"
#include "worker/train/gradients.hpp"
#include "worker/train/recorder.hpp"

namespace mgpu::worker::train {

/// The batch with its tensors on the device only and blank items: a recorded pass would always read the items and host values of
/// its recording.
Batch device_only(const Batch& rows);

/// A pass is recorded after a few batches of its shape. Input, targets and the weight of the loss are then copied into fixed
/// memory, and the recording is replayed. Not recorded: the seed, the sums over the ranks (started during the replay, as buckets
/// become final), the optimizer.
///
/// There are up to four recordings per shape: the first pass of a step writes gradients, later ones add to them; the last one has
/// milestones at which buckets are final.
class StepGraphs {
 public:
  static constexpr int passes_before = 3;       ///< not recorded, so that libraries can initialise themselves
  static constexpr std::size_t most_shapes = 4; ///< each uses memory; further shapes are not recorded

  /// All must outlive this object; gradients and parameters must not move.
  StepGraphs(Recorder& recorder, Training& training, Gradients& gradients, collective::Exchange& exchange,
             const RankContext& context);

  /// Forward and backward of these rows, with `weight` times their loss; `last` as in Gradients::begin_backward. Returns the
  /// loss, or nullopt if nothing was computed: the caller must run the pass. May run out of memory; see Gradients::finished.
  std::optional<torch::Tensor> run(const Batch& rows, double weight, bool last);
  /// Frees all recordings.
  void drop() { shapes_.clear(); }
  /// Number of recordings.
  std::size_t recorded() const;

 private:
  struct Recorded {
    std::unique_ptr<Recording> recording;
    std::vector<bool> wrote; ///< parameters that get a gradient
  };
  struct Shape {
    Batch batch; ///< fixed memory, without items
    torch::Tensor weight, loss;
    int passes = 0;
    Recorded recorded[2][2]; ///< [later][last]
  };

  Shape* place(const Batch& rows, double weight);
  void compute(Shape& shape);
  void record(Shape& shape, Gradients::Written before, bool last, Recorded& recorded);

  Recorder& recorder_;
  Training& training_;
  Gradients& gradients_;
  collective::Exchange& exchange_;
  const RankContext& context_;
  std::map<std::int64_t, Shape> shapes_; ///< by rows
};

} // namespace mgpu::worker::train
