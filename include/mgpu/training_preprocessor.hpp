#pragma once
#include "mgpu/tensor.hpp"

#include <cstdint>
#include <memory>
#include <optional>

#include "mgpu/augmentation.hpp"
#include "mgpu/bundle.hpp"
#include "mgpu/training.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// Preprocessor for training: prepares items as the bundle describes, applies augmentation, and caches decoded items in memory.
///
/// Options, if the job has them:
///   augment           kinds of augmentation (mgpu/augmentation.hpp)
///   augment-strength  factor for Variation::strength (default 1)
///   cache             auto: up to a quarter of the free memory, shared by the ranks of a node; none; or MB per rank
///
/// With strength 0 a sample has the same bits as from Preprocessor on a CPU, or on a GPU without augmentation, so a validation has the
/// input of `infer`. With crop, a picture is cached at 8/7 of the model's input size, and the crop is taken from it; pixels beyond it are
/// not used. The cache holds uint8 pictures, or the samples or features of recordings, by path, in order of arrival. When it is full, other
/// items are decoded at every visit.
class TrainingPreprocessor {
 public:
  /// Throws usage_error if the bundle declares neither image nor audio, and for an unknown word or amount.
  TrainingPreprocessor(const Bundle& bundle, const RankContext& context);
  ~TrainingPreprocessor();

  /// As Preprocessor. Rows of pictures are uint8 [H, W, C] for a GPU without augmentation, otherwise float32 [C, H, W].
  std::optional<RowSpec> row_spec() const;
  torch::Tensor trial_row(int variant) const;
  /// Fills (with a RowSpec) or sets sample.input. Thread-safe; the same bits for the same item and variation.
  void prepare(const Item& item, const Variation& variation, Sample& sample) const;
  /// As Preprocessor.
  torch::Tensor model_input(const torch::Tensor& batch) const;

  /// For Training::remarks: as ImageLoader::remarks, for whole pictures and for those to be cropped. A picture that is not cached is
  /// counted each time it is loaded.
  std::vector<std::string> remarks() const;

  /// Content of the cache.
  struct Kept {
    std::uint64_t items = 0, bytes = 0, limit_bytes = 0;
  };
  Kept kept() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace mgpu
