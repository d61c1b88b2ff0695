#pragma once
#include "mgpu/tensor.hpp"

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

/// Prepares items (pictures or recordings) as a bundle describes, and makes the model's input from batches of them.
class Preprocessor {
 public:
  /// Throws usage_error if the bundle declares neither image nor audio.
  Preprocessor(const Bundle& bundle, const RankContext& context);
  ~Preprocessor();

  /// Common shape of rows; nullopt for recordings of any length. For a GPU, rows of pictures are uint8 [H, W, C].
  std::optional<RowSpec> row_spec() const;
  /// Two seconds (variant 0) or three (variant 1) of silence for recordings of any length; undefined with a RowSpec.
  torch::Tensor trial_row(int variant) const;
  /// Fills (with a RowSpec) or sets sample.input. For a picture, sample.extra becomes its Placement (mgpu/placement.hpp).
  void prepare(const Item& item, Sample& sample) const;
  /// For Work::remarks: with --decode nvjpeg the numbers of pictures by decoder; the number with clipped 16-bit grey values.
  std::vector<std::string> remarks() const;
  /// The model's input: [B, C, H, W] scaled and normalised, [B, C, T], or [B, mels, frames].
  torch::Tensor model_input(const torch::Tensor& batch) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A model with its bundle. It makes named columns from a batch.
///
/// For recordings of any length, an output whose second dimension follows the padded length (detected by a trial of two lengths) becomes a
/// ragged column: each row is cut to the length that the model returns (an int64 [B] output), else in proportion to its own length.
class Network {
 public:
  /// Opens the bundle at context.model_path and its model. Throws usage_error.
  explicit Network(const RankContext& context);

  const Bundle& bundle() const { return bundle_; }
  const Preprocessor& preprocessor() const { return *preprocessor_; }
  Model& model() { return *model_; }

  /// Calls the model with the batch, and with lengths [B] if it takes a second tensor.
  std::vector<ModelOutput> call(const Batch& batch);
  /// Adds every output under its name: the bundle's "outputs", else the model's own dict keys, else "output", or "output_0", …
  void add_outputs(const Batch& batch, const std::vector<ModelOutput>& results, Outputs& outputs) const;

 private:
  void probe_lengths(const RankContext& context);
  std::vector<std::string> names(const std::vector<ModelOutput>& results) const;

  Bundle bundle_;
  std::unique_ptr<Preprocessor> preprocessor_;
  std::unique_ptr<Model> model_;
  std::vector<bool> follows_length_; ///< by output; empty if rows have one shape
  int lengths_output_ = -1;          ///< index of the output with the valid lengths; -1: none
};

/// Adds the best classes of each row of logits [B, classes] and their softmax: /results/label int64 and /results/score float32, both [B],
/// or [B, K] if k > 1. Of equal scores the lower index comes first. Throws Error if there are fewer classes than k.
void add_classes(const torch::Tensor& logits, std::int64_t k, Outputs& outputs);

} // namespace mgpu
