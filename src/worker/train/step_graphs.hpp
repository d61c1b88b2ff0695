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

/// The tensors on the device alone, with items that say nothing: a recorded pass would read the items and host values of its recording
/// for ever.
Batch device_only(const Batch& rows);

/// A pass is recorded when rows of its shape have come a few times. Input, targets and the weight of the loss are then copied into
/// fixed places and the recording is replayed. What stays outside: drawing the seed, sums over the ranks (begun while the replay runs,
/// as its buckets become final), the optimizer.
///
/// Of one shape there are up to four recordings: the first pass of a step writes gradients, later ones add to them; the last one has
/// milestones at which buckets are final.
class StepGraphs {
 public:
  static constexpr int passes_before = 3;       ///< run as usual, so that libraries are set up
  static constexpr std::size_t most_shapes = 4; ///< each keeps memory; rows of further shapes are run as usual

  /// All must outlive this; the gradients' places and parameters must stay where they are.
  StepGraphs(Recorder& recorder, Training& training, Gradients& gradients, collective::Exchange& exchange,
             const RankContext& context);

  /// Forward and backward of these rows, whose loss counts `weight` times; `last` as in Gradients::begin_backward. Returns the loss, or
  /// nullopt when nothing was done: the rows must be run as usual. May run out of memory; Gradients::finished tells what was done.
  std::optional<torch::Tensor> run(const Batch& rows, double weight, bool last);
  /// Forgets all recordings and gives their memory back.
  void drop() { shapes_.clear(); }
  /// Recordings there are.
  std::size_t recorded() const;

 private:
  struct Recorded {
    std::unique_ptr<Recording> recording;
    std::vector<bool> wrote; ///< parameters that got a gradient
  };
  struct Shape {
    Batch batch; ///< fixed places, without items
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
