#pragma once
#include <optional>
#include <string>

namespace mgpu {

/// The bundle.json inside a trained `.pt` (an extra file of TorchScript's zip archive); nullopt if there is none, or if `path` is
/// not a zip archive: the model's own reader then reports the error.
std::optional<std::string> embedded_bundle(const std::string& path);

} // namespace mgpu
