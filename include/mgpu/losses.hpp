#pragma once
#include <torch/torch.h>

#include <memory>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/config.hpp"
#include "mgpu/training.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// What a network is trained to make small, and what a validation measures. `outputs` are the network's, flattened in order; batch.targets
/// are what targets() made of the batch's rows, on the device of the outputs.
class Loss {
 public:
  virtual ~Loss() = default;
  /// Throws usage_error naming the item when its label cannot be used. To be asked for every item before any work.
  virtual void check_item(const Item& item) const = 0;
  /// Throws usage_error saying what does not fit ("the network gives [2, 10, 3], cross_entropy needs [B, 12]"). To be asked once, with
  /// the outputs of a trial batch of `rows` rows.
  virtual void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) = 0;
  /// What this loss needs of the rows' column "label", for Training::targets: tensors of [B, …] on the host. Throws usage_error as
  /// check_item does, and for a class that the network, once seen, does not have.
  virtual std::vector<torch::Tensor> targets(const Batch& /*rows*/) const { return {}; }
  /// Mean over the batch, a scalar of float32, with the graph of the outputs.
  torch::Tensor operator()(const std::vector<torch::Tensor>& outputs, const Batch& batch) const;
  /// Adds "loss" and the metrics of this loss: sums in double, whose quotient does not depend on how samples were dealt to ranks.
  ///   cross_entropy: accuracy, with six classes or more top5, and the table by class · bce: accuracy (of single decisions)
  ///   mse: mae · ctc: cer, wer (edits of the greedy text by characters and words of the label)
  virtual void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const = 0;
  /// Names of the classes, for Training::labels; may be empty.
  virtual std::vector<std::string> labels() const { return {}; }

 protected:
  /// Loss of each row, float32 [B].
  virtual torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const = 0;
  void add_loss(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const;
};

/// The loss that option `loss` names, each as torch.nn.functional has it (reduction "mean"):
///   cross_entropy  logits [B, classes]; option `label-smoothing`
///   bce            logits [B, classes] of independent decisions
///   mse            [B, n] (or [B]) against n numbers
///   ctc            log-probabilities [B, T, V]; valid frames as ctc_frames says; a row too short for its label counts 0
///   output         the network's own scalar, or one number a row [B]; labels are not read
/// Throws usage_error.
std::unique_ptr<Loss> make_loss(const Config& config, const Bundle& bundle);

} // namespace mgpu
