#pragma once
#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/load.hpp"
#include "mgpu/model.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// Prepares items as a bundle says, pictures or recordings alike, and makes batches of them ready for the model.
class Preprocessor {
 public:
  /// Throws usage_error when the bundle declares neither image nor audio.
  Preprocessor(const Bundle& bundle, const RankContext& context);
  ~Preprocessor();

  /// Common shape of rows; nullopt for recordings of any length. On a GPU pictures travel as uint8 [H, W, C].
  std::optional<RowSpec> row_spec() const;
  /// Two seconds (variant 0) or three (1) of silence for a batch of recordings of any length; undefined with a RowSpec.
  torch::Tensor trial_row(int variant) const;
  /// Fills or sets sample.input.
  void prepare(const Item& item, Sample& sample) const;
  /// For Work::remarks: with --decode nvjpeg, how many pictures who decoded; how many had 16-bit grey values clipped.
  std::vector<std::string> remarks() const;
  /// What the model is called with: [B, C, H, W] scaled and normalised, [B, C, T], or [B, mels, frames].
  torch::Tensor model_input(const torch::Tensor& batch) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A model with what its bundle says: called with a batch, it gives named columns.
///
/// With recordings of any length, an output whose second dimension follows the padded length (seen by trying two lengths) becomes a
/// ragged column: each row is cut to the length the model reports (an int64 [B] output), else in proportion to its own length.
class Network {
 public:
  /// Opens the bundle at context.model_path and its model. Throws usage_error.
  explicit Network(const RankContext& context);

  const Bundle& bundle() const { return bundle_; }
  const Preprocessor& preprocessor() const { return *preprocessor_; }
  Model& model() { return *model_; }

  /// Calls the model with the batch (and lengths [B], if it takes a second tensor).
  std::vector<ModelOutput> call(const Batch& batch);
  /// Adds every output under its name: the bundle's "outputs", else the model's own dict keys, else output, or output_0, output_1….
  void add_outputs(const Batch& batch, const std::vector<ModelOutput>& results, Outputs& outputs) const;

 private:
  void probe_lengths(const RankContext& context);
  std::vector<std::string> names(const std::vector<ModelOutput>& results) const;

  Bundle bundle_;
  std::unique_ptr<Preprocessor> preprocessor_;
  std::unique_ptr<Model> model_;
  std::vector<bool> follows_length_; ///< by output; empty when rows have one shape
  int lengths_output_ = -1;          ///< the output that reports valid lengths; -1: none
};

/// The best classes of each row of logits [B, classes] and their softmax: /results/label int64 and /results/score float32, both [B], or
/// [B, K] when k > 1. Equal scores go to the lower index. Throws Error when there are fewer classes than k.
void add_classes(const torch::Tensor& logits, std::int64_t k, Outputs& outputs);

} // namespace mgpu
