#pragma once
#include "mgpu/tensor.hpp"

#include <memory>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/config.hpp"
#include "mgpu/training.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// A loss function and the metrics of its validation. `outputs` are the network's outputs, flattened in order. batch.targets are the
/// tensors that targets() returned for the batch's rows, on the device of the outputs.
class Loss {
 public:
  virtual ~Loss() = default;
  /// Throws usage_error with the item if its label cannot be used. To be called for every item before any work.
  virtual void check_item(const Item& item) const = 0;
  /// Throws usage_error if the outputs do not fit the loss ("the network gives [2, 10, 3], cross_entropy needs [B, 12]"). To be called
  /// once, with the outputs of a trial batch of `rows` rows.
  virtual void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) = 0;
  /// Target tensors [B, …] on the host, made from the rows' column "label", for Training::targets. Throws usage_error as check_item does,
  /// and for a class beyond the network's outputs, once these are known.
  virtual std::vector<torch::Tensor> targets(const Batch& /*rows*/) const { return {}; }
  /// Mean loss of the batch, a float32 scalar with the graph of the outputs.
  torch::Tensor operator()(const std::vector<torch::Tensor>& outputs, const Batch& batch) const;
  /// Adds "loss" and the metrics of this loss as sums in double. Their quotient does not depend on the distribution of samples over ranks.
  ///   cross_entropy: accuracy; with six classes or more top5; the table by class · bce: accuracy (of single decisions)
  ///   mse: mae · ctc: cer, wer (edits of the greedy text, divided by characters and words of the label)
  virtual void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const = 0;
  /// Class names, for Training::labels; may be empty.
  virtual std::vector<std::string> labels() const { return {}; }

 protected:
  /// Loss of each row, float32 [B].
  virtual torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const = 0;
  void add_loss(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const;
};

/// Makes the loss that option `loss` names. The formulas are those of torch.nn.functional (reduction "mean"):
///   cross_entropy  logits [B, classes]; option `label-smoothing`
///   bce            logits [B, classes] of independent decisions
///   mse            [B, n] (or [B]) against n numbers
///   ctc            log-probabilities [B, T, V]; valid frames by ctc_frames; a row too short for its label counts 0
///   output         the network's own scalar, or one number per row [B]; labels are not read
/// Throws usage_error.
std::unique_ptr<Loss> make_loss(const Config& config, const Bundle& bundle);

} // namespace mgpu
