#pragma once
// The "image", "audio" and "detection" objects and the CTC keys of bundle.json, and the flags that override them.
#include "common/bundle/json_reader.hpp"
#include "mgpu/bundle.hpp"

namespace mgpu {

/// These throw usage_error with the file and key.
ImageSpec read_image_spec(const JsonReader& json);
AudioSpec read_audio_spec(const JsonReader& json);
CtcSpec read_ctc_spec(const JsonReader& json);
/// The object "detection"; `labels`: number of class names, 0 if there are none.
DetectionSpec read_detection_spec(const JsonReader& json, std::size_t labels);

nlohmann::json to_json(const ImageSpec& spec);
nlohmann::json to_json(const AudioSpec& spec);

/// True when `config` holds a flag that describes pictures (--image-size) or recordings (--sample-rate).
bool flags_describe_image(const Config& config);
bool flags_describe_audio(const Config& config);

/// Overrides `spec` by the given flags (non-empty texts, numbers above 0); pictures are then checked as a whole.
void apply_image_flags(ImageSpec& spec, const Config& config);
void apply_audio_flags(AudioSpec& spec, const Config& config);

/// A flag's value as text, "" when it was not declared or not given.
std::string flag_text(const Config& config, const std::string& name);

/// "a, b,c" → {"a", "b", "c"}; "" → {}.
std::vector<std::string> split_list(const std::string& text);

} // namespace mgpu
