#pragma once
// From rows of different length to one padded batch.

#include <functional>
#include <string>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// Makes an uninitialised tensor on the host (in pinned memory where a GPU reads it).
using AllocateHost = std::function<torch::Tensor(at::IntArrayRef shape, torch::ScalarType type)>;

struct Collated {
  torch::Tensor input;   ///< [B, …, T], T the longest row's; undefined when no row has a tensor
  torch::Tensor lengths; ///< [B] int64; a failed row, all zeros, counts as full length so that no model sees an empty row
};

/// Pads the rows with zeros along their last dimension. Rows whose `errors` entry is not empty are left zero. A row whose type or
/// leading dimensions differ from the first good row's, or that has no length, gets an `errors` entry.
Collated collate(const std::vector<Sample>& samples, std::vector<std::string>& errors, const AllocateHost& allocate);

} // namespace mgpu::worker
