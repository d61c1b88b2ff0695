#pragma once
// Collates rows of different length into one padded batch.

#include <functional>
#include <string>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// Makes an uninitialised host tensor (in pinned memory if a GPU reads it).
using AllocateHost = std::function<torch::Tensor(at::IntArrayRef shape, torch::ScalarType type)>;

struct Collated {
  torch::Tensor input;   ///< [B, …, T], T: length of the longest row; undefined when no row has a tensor
  torch::Tensor lengths; ///< [B] int64; a failed row (zeros) has full length, so that no model gets an empty row
};

/// Pads the rows with zeros along their last dimension. Rows with an `errors` entry are zeros. A row whose type or leading
/// dimensions differ from the first good row's, or that has no length, gets an `errors` entry.
Collated collate(const std::vector<Sample>& samples, std::vector<std::string>& errors, const AllocateHost& allocate);

} // namespace mgpu::worker
