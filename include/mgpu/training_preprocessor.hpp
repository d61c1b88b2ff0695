#pragma once
#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "mgpu/augmentation.hpp"
#include "mgpu/bundle.hpp"
#include "mgpu/training.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// Preprocessor's counterpart for training: prepares items as the bundle says, varied by augmentation, and keeps decoded items in memory.
///
/// Options it reads, where the job has them:
///   augment           what is varied (mgpu/augmentation.hpp)
///   augment-strength  factor of the amounts when Variation::strength is 1 (default 1)
///   cache             auto: up to a quarter of the memory that is free, shared by the ranks of a node; none; or MB a rank
///
/// With strength 0 a sample is bit for bit what Preprocessor gives, so a validation sees what `infer` will see. With crop a picture is kept 8/7
/// larger than the model's input and the cut is taken from that; what inference's centre crop leaves out beyond is not seen.
/// The cache holds uint8 pictures, or samples, by path, in order of arrival; when it is full, later items are decoded at every visit.
class TrainingPreprocessor {
 public:
  /// Throws usage_error: the bundle declares neither image nor audio, an unknown word or amount.
  TrainingPreprocessor(const Bundle& bundle, const RankContext& context);
  ~TrainingPreprocessor();

  /// As Preprocessor. Rows of pictures are float32 [C, H, W] on a CPU and when augmenting; else, on a GPU, uint8 [H, W, C].
  std::optional<RowSpec> row_spec() const;
  torch::Tensor trial_row(int variant) const;
  /// Fills or sets sample.input. Thread-safe; the same bits for the same item and variation.
  void prepare(const Item& item, const Variation& variation, Sample& sample) const;
  /// As Preprocessor.
  torch::Tensor model_input(const torch::Tensor& batch) const;

  /// For Training::remarks: as ImageLoader::remarks, of pictures taken whole and of those to be cropped. One that is not kept is counted each
  /// time it is loaded.
  std::vector<std::string> remarks() const;

  /// Items and bytes kept so far.
  struct Kept {
    std::uint64_t items = 0, bytes = 0, limit_bytes = 0;
  };
  Kept kept() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace mgpu
