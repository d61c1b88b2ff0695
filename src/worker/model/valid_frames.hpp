#pragma once

#include <cstdint>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// Valid frames of each row of an output of `frames` frames, on the host: as `reported` by the network ([B] int64), else in
/// proportion to batch.lengths, rounded up (a partly used frame counts), else all.
std::vector<std::int64_t> valid_frames(const Batch& batch, const torch::Tensor& reported, std::int64_t frames);

/// True for [B] int64, by which a network reports the lengths of its rows.
bool reports_lengths(const torch::Tensor& output);

} // namespace mgpu::worker
