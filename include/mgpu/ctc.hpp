#pragma once
#include "mgpu/tensor.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// Transcript of one recording.
struct Transcript {
  std::string text;                        ///< the symbols in order, UTF-8
  std::vector<std::array<float, 2>> words; ///< start and end of each word of `text` (words are separated by spaces), seconds
};

/// Greedy decoding: the best class of every frame, then repeats and blanks are removed. `log_probabilities` [B, T, V], any device; the
/// first frames[i] frames of row i are used. Throws Error if the shape does not match the vocabulary.
std::vector<Transcript> greedy_transcripts(const torch::Tensor& log_probabilities, const std::vector<std::int64_t>& frames,
                                           const CtcSpec& spec);

/// Number of valid frames of each row of an output [B, T, …]: the network's own (outputs[1], int64 [B]), else in proportion to
/// batch.lengths, rounded up, else T.
std::vector<std::int64_t> ctc_frames(const std::vector<torch::Tensor>& outputs, const Batch& batch);

/// Adds `/results/text` and the ragged column `/results/words` [n, 2], decoded from a network's outputs.
void add_transcripts(const std::vector<torch::Tensor>& outputs, const Batch& batch, const CtcSpec& spec, Outputs& columns);

} // namespace mgpu
