#pragma once
#include <optional>
#include <string>

namespace mgpu {

/// The bundle.json that a trained `.pt` carries inside (an extra file of TorchScript's zip archive); nullopt where there is none, or
/// `path` is no zip archive: what it is then is for the model's own reader to say.
std::optional<std::string> embedded_bundle(const std::string& path);

} // namespace mgpu
