#pragma once
// Converts the nested outputs of a network to a flat list of named outputs.
#include <torch/script.h>

#include <optional>
#include <string>
#include <vector>

#include "mgpu/model.hpp"

namespace mgpu::worker {

/// Flattens a TorchScript value. The first List[Tensor] sets `list_is_rows`, which is then kept, so that a last, shorter batch is
/// interpreted in the same way. Throws Error on values that are not tensors (strings, numbers).
std::vector<ModelOutput> flatten(const c10::IValue& value, std::int64_t batch_size, std::optional<bool>& list_is_rows);

/// Paths of the leaves of a `.pt2` file's out_spec (torch.utils._pytree, JSON), in order; empty when it cannot be read.
std::vector<std::string> leaf_paths(const std::string& out_spec_json);

} // namespace mgpu::worker
