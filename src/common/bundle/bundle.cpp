#include "mgpu/bundle.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "common/bundle/embedded.hpp"
#include "common/bundle/json_reader.hpp"
#include "common/bundle/specs.hpp"
#include "common/support/text.hpp"

namespace mgpu {

namespace {

namespace fs = std::filesystem;

nlohmann::json parse_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw usage_error(fmt::format("{}: no such file; a bundle is a folder with a bundle.json", path));
  try {
    return nlohmann::json::parse(file);
  } catch (const nlohmann::json::parse_error& error) {
    throw usage_error(fmt::format("{}: not valid JSON at byte {}", path, error.byte));
  } catch (const nlohmann::json::exception&) { // a number beyond the range of double
    throw usage_error(fmt::format("{}: a number is out of range", path));
  }
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw usage_error(fmt::format("labels: {} cannot be read", path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (lines.empty()) throw usage_error(fmt::format("labels: {} is empty", path));
  return lines;
}

/// A file that bundle.json names. Throws usage_error when it is outside the bundle: the hash of the bundle would not cover it.
std::string part_of(const JsonReader& json, const char* key, const std::string& folder, const std::string& name) {
  const fs::path path = fs::path(name).lexically_normal();
  if (path.is_absolute() || (!path.empty() && *path.begin() == ".."))
    json.fail(key, fmt::format("{} lies outside the bundle; copy or link it into its folder", show_path(name)));
  return fs::path(folder) / path;
}

std::vector<std::string> read_labels(const JsonReader& json, const std::string& folder) {
  std::vector<std::string> labels;
  if (json.has("labels") && json.at("labels").is_string())
    return read_lines(part_of(json, "labels", folder, json.at("labels").get<std::string>()));
  json.read("labels", labels);
  return labels;
}

DetectionSpec read_detection(const JsonReader& json, const Bundle& bundle) {
  if (!bundle.image) json.fail("task", "a detector needs \"image\"");
  const nlohmann::json none = nlohmann::json::object();
  return read_detection_spec(JsonReader(json.has("detection") ? json.at("detection") : none, json.inner("detection")),
                             bundle.labels.size());
}

/// Reads a bundle.json; `file` names it in errors, its own file names are relative to `folder`.
Bundle read_json(nlohmann::json whole, const std::string& file, const std::string& folder) {
  Bundle bundle;
  bundle.folder = folder;
  bundle.json = std::move(whole);
  const JsonReader json(bundle.json, file + ": ");
  json.allow({"schema", "model", "models", "image", "audio", "outputs", "labels", "task", "vocabulary", "blank", "frame_seconds",
              "decode", "batch", "detection"});
  std::string schema;
  json.read("schema", schema);
  if (schema != "mgpu-bundle/1") json.fail("schema", fmt::format("\"mgpu-bundle/1\" is expected, not \"{}\"", schema));
  if (json.has("image") && json.has("audio")) json.fail("audio", "a bundle has either image or audio");
  if (json.has("image")) bundle.image = read_image_spec(JsonReader(json.at("image"), json.inner("image")));
  if (json.has("audio")) bundle.audio = read_audio_spec(JsonReader(json.at("audio"), json.inner("audio")));
  json.read("outputs", bundle.outputs);
  json.read("task", bundle.task);
  if (bundle.task == "ctc") bundle.ctc = read_ctc_spec(json);
  bundle.labels = read_labels(json, folder);
  if (bundle.task == "detection") bundle.detection = read_detection(json, bundle);
  if (json.has("detection") && !bundle.detection) json.fail("detection", "it belongs to \"task\": \"detection\"");
  return bundle;
}

Bundle read_folder(const std::string& folder) {
  const std::string file = fs::path(folder) / "bundle.json";
  Bundle bundle = read_json(parse_file(file), file, folder);
  const JsonReader json(bundle.json, file + ": ");
  std::string model;
  json.read("model", model);
  if (model.empty() && !json.has("models")) json.fail("model", "the name of the model file is expected");
  if (!model.empty()) bundle.model = part_of(json, "model", folder, model);
  return bundle;
}

/// A `.pt` that `train` wrote contains its bundle.
std::optional<Bundle> read_inside(const std::string& path) {
  const std::optional<std::string> text = embedded_bundle(path);
  if (!text) return std::nullopt;
  nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  const std::string file = path + ", bundle.json inside";
  if (json.is_discarded()) throw usage_error(file + ": not valid JSON");
  Bundle bundle = read_json(std::move(json), file, "");
  bundle.model = path;
  return bundle;
}

/// --labels may have replaced those of the bundle.
void check_labels_of_detector(Bundle& bundle) {
  if (!bundle.detection || bundle.labels.empty()) return;
  const auto labels = static_cast<std::int64_t>(bundle.labels.size());
  if (!bundle.detection->yolo) bundle.detection->classes = labels;
  if (bundle.detection->classes != labels)
    throw usage_error(fmt::format("--labels: {} names for a detector of {} classes", labels, bundle.detection->classes));
}

Bundle from_flags(const std::string& path, const Config& config) {
  if (std::optional<Bundle> inside = read_inside(path)) return std::move(*inside);
  Bundle bundle;
  bundle.model = path;
  bundle.json = nlohmann::json::object();
  const bool image = flags_describe_image(config), audio = flags_describe_audio(config);
  if (image && audio) throw usage_error("--image-size and --sample-rate exclude each other: the model takes pictures or sound");
  if (!image && !audio && (config.has("image-size") || config.has("sample-rate")))
    throw usage_error(fmt::format(
        "{} has no bundle.json beside it: say what it takes, --image-size N (pictures) or --sample-rate HZ (sound)", path));
  if (image) bundle.image.emplace();
  if (audio) bundle.audio.emplace();
  return bundle;
}

} // namespace

Bundle Bundle::open(const std::string& path, const Config& config) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw usage_error(fmt::format("{}: no such file or folder (--model)", path));
  const bool is_json = fs::path(path).filename() == "bundle.json";
  const std::string folder = is_json ? fs::path(path).parent_path().string() : path;
  Bundle bundle =
      is_json || fs::is_directory(path, ignored) ? read_folder(folder.empty() ? "." : folder) : from_flags(path, config);
  if (!bundle.image && flags_describe_image(config)) throw usage_error("--image-size: the bundle declares no image input");
  if (!bundle.audio && flags_describe_audio(config)) throw usage_error("--sample-rate: the bundle declares no audio input");
  if (bundle.image) apply_image_flags(*bundle.image, config);
  if (bundle.audio) apply_audio_flags(*bundle.audio, config);
  if (const auto names = split_list(flag_text(config, "outputs")); !names.empty()) bundle.outputs = names;
  if (const auto file = flag_text(config, "labels"); !file.empty()) bundle.labels = read_lines(file);
  check_labels_of_detector(bundle);
  return bundle;
}

nlohmann::json Bundle::embedded_json() const {
  nlohmann::json embedded = json;
  embedded.erase("model");
  embedded["schema"] = "mgpu-bundle/1";
  if (image) embedded["image"] = to_json(*image);
  if (audio) embedded["audio"] = to_json(*audio);
  if (!outputs.empty()) embedded["outputs"] = outputs;
  if (!labels.empty()) embedded["labels"] = labels;
  if (!task.empty()) embedded["task"] = task;
  return embedded;
}

} // namespace mgpu
