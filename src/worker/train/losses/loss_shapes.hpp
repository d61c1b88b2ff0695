#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mgpu/tensor.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker::train {

/// "[2, 10, 3]"; several are separated by commas.
std::string shapes_of(const std::vector<torch::Tensor>& outputs);

/// Throws usage_error "the network gives [2, 10, 3], LOSS needs NEEDS".
[[noreturn]] void does_not_fit(const std::vector<torch::Tensor>& outputs, std::string_view loss, const std::string& needs);

/// batch.targets[which]. Throws usage_error if the job has none.
const torch::Tensor& target_of(const Batch& batch, std::size_t which);

/// Sum of all elements, in double.
double total(const torch::Tensor& values);

} // namespace mgpu::worker::train
