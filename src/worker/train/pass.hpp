#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/training.hpp"
#include "worker/train/environment.hpp"
#include "worker/train/step_graphs.hpp"
#include "worker/train/totals.hpp"

namespace mgpu::worker::train {

/// Forward, loss and backward of some of a rank's rows; recorded and replayed with --cuda-graph.
class Pass {
 public:
  /// `graphs` null: nothing is recorded. All must outlive this object.
  Pass(const Environment& environment, StepGraphs* graphs, TimeSplit& times)
      : environment_(environment), graphs_(graphs), times_(times) {}
  /// Returns the mean loss of these rows, detached; their gradients, times `weight`, are in place or being computed. `step`
  /// counts from 0; `last` and `finished` as in Gradients::begin_part, which must be called before. May run out of memory.
  torch::Tensor run(const Batch& rows, double weight, std::uint64_t step, bool last, const std::vector<bool>& finished);
  /// Frees the memory of all recordings.
  void drop_recordings();

 private:
  torch::Tensor run_eagerly(const Batch& rows, double weight, std::uint64_t step);
  std::optional<torch::Tensor> run_recorded(const Batch& rows, double weight, std::uint64_t step, bool last,
                                            const std::vector<bool>& finished);

  const Environment& environment_;
  StepGraphs* graphs_;
  TimeSplit& times_;
};

} // namespace mgpu::worker::train
