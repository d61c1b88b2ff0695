#pragma once
// --stages: parts of a training with their own settings.
#include <nlohmann/json.hpp>
#include <string>

#include "mgpu/config.hpp"

namespace mgpu::agent::cli {

/// The stages that --stages asks for, as the worker reads them: an array of objects with the keys `name`, `epochs`, `lr`, `freeze`
/// (prefixes of parameter names), `train_last` (share of the layers that train, counted from the end), `batch_size`,
/// `augment_strength`, `subset` (share of the training set), each only where it was given; `epochs` and `lr` always. Empty when
/// --stages is "". Throws usage_error naming the file, the stage and the key.
nlohmann::json read_stages(const Config& config);

/// The same from the text of a TOML file; `path` names it in messages.
nlohmann::json parse_stages(const std::string& text, const std::string& path, const Config& config);

} // namespace mgpu::agent::cli
