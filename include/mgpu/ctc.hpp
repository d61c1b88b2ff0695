#pragma once
#include <torch/torch.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// What was heard in one recording.
struct Transcript {
  std::string text;                        ///< the symbols one after another, UTF-8
  std::vector<std::array<float, 2>> words; ///< start and end of each word of `text` (what spaces part), seconds
};

/// The best class of every frame, repeats and then blanks removed. `log_probabilities` [B, T, V], any device; of row i the first
/// frames[i] count. Throws Error when the shape does not fit the vocabulary.
std::vector<Transcript> greedy_transcripts(const torch::Tensor& log_probabilities, const std::vector<std::int64_t>& frames,
                                           const CtcSpec& spec);

/// Valid frames of each row of an output [B, T, …]: what the network reports (outputs[1], int64 [B]), else in proportion to
/// batch.lengths, rounded up, else all.
std::vector<std::int64_t> ctc_frames(const std::vector<torch::Tensor>& outputs, const Batch& batch);

/// Adds `/results/text` and the ragged `/results/words` [n, 2] of a network's outputs.
void add_transcripts(const std::vector<torch::Tensor>& outputs, const Batch& batch, const CtcSpec& spec, Outputs& columns);

} // namespace mgpu
