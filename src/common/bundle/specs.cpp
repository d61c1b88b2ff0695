#include "common/bundle/specs.hpp"

#include <charconv>
#include <cmath>
#include <map>

namespace mgpu {

namespace {

constexpr int largest_side = 16384;
constexpr int highest_rate = 768000;

const std::map<std::string, Resize> resizes{
    {"shorter", Resize::shorter}, {"exact", Resize::exact}, {"letterbox", Resize::letterbox}, {"none", Resize::none}};
const std::map<std::string, bool> crops{{"center", true}, {"none", false}};
const std::map<std::string, Interpolation> interpolations{{"bilinear", Interpolation::bilinear},
                                                          {"bicubic", Interpolation::bicubic},
                                                          {"nearest", Interpolation::nearest},
                                                          {"lanczos", Interpolation::lanczos}};
const std::map<std::string, Grey16> greys{{"clip", Grey16::clip}, {"scale", Grey16::scale}};
const std::map<std::string, AudioFeatures> features{{"waveform", AudioFeatures::waveform}, {"log_mel", AudioFeatures::log_mel}};

void append(std::string& list, std::string_view separator, const std::string& word) {
  if (!list.empty()) list += separator;
  list += word;
}

template <typename Value>
Value choose(const std::map<std::string, Value>& choices, const std::string& word, const std::string& where) {
  const auto found = choices.find(word);
  if (found != choices.end()) return found->second;
  std::string known;
  for (const auto& [name, value] : choices) append(known, ", ", name);
  throw usage_error(fmt::format("{}: '{}' is not one of {}", where, word, known));
}

template <typename Value>
std::string name_of(const std::map<std::string, Value>& choices, Value value) {
  for (const auto& [name, each] : choices)
    if (each == value) return name;
  return "";
}

template <typename Value>
void read_choice(const JsonReader& json, std::string_view key, const std::map<std::string, Value>& choices, Value& value) {
  if (!json.has(key)) return;
  std::string word;
  json.read(key, word);
  value = choose(choices, word, json.inner(key).substr(0, json.inner(key).size() - 1));
}

double number(const std::string& text, const std::string& flag) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    throw usage_error(fmt::format("{}: '{}' is not a number", flag, text));
  return value;
}

int whole_number(const std::string& text, const std::string& flag, int most) {
  const double value = number(text, flag);
  if (value != std::floor(value) || value < 1 || value > most)
    throw usage_error(fmt::format("{}: '{}' is not a whole number from 1 to {}", flag, text, most));
  return static_cast<int>(value);
}

void flag_whole(const Config& config, const std::string& name, int& value, int most) {
  const std::string text = flag_text(config, name);
  if (!text.empty()) value = whole_number(text, "--" + name, most);
}

void flag_numbers(const Config& config, const std::string& name, std::vector<double>& values) {
  const auto words = split_list(flag_text(config, name));
  if (words.empty()) return;
  values.clear();
  for (const std::string& word : words) values.push_back(number(word, "--" + name));
}

/// One number applies to all channels. A list of equal numbers also fits another number of channels.
void spread(std::vector<double>& values, int channels, std::string_view name) {
  const auto all_same = std::all_of(values.begin(), values.end(), [&](double value) { return value == values.front(); });
  if (!values.empty() && all_same) values.assign(static_cast<std::size_t>(channels), values.front());
  if (values.size() != static_cast<std::size_t>(channels))
    throw usage_error(fmt::format("image {}: {} numbers for {} channels", name, values.size(), channels));
}

void check(ImageSpec& spec) {
  spread(spec.mean, spec.channels, "mean");
  spread(spec.std, spec.channels, "std");
  for (const double value : spec.std)
    if (!(value > 0) || !std::isfinite(value)) throw usage_error(fmt::format("image std: {} is not above 0", value));
  if (spec.resize == Resize::shorter && !spec.center_crop)
    throw usage_error("image: resize 'shorter' without a crop leaves pictures of different shapes; use 'exact' or 'letterbox'");
}

} // namespace

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  while (begin <= text.size() && !text.empty()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    const auto first = word.find_first_not_of(" []"), last = word.find_last_not_of(" []");
    if (first != std::string::npos) words.push_back(word.substr(first, last - first + 1));
    begin = end + 1;
  }
  return words;
}

std::string flag_text(const Config& config, const std::string& name) {
  if (!config.has(name)) return "";
  const auto& value = config.json().at(name);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.get<double>() > 0 ? value.dump() : "";
  if (!value.is_array()) return "";
  std::string text;
  for (const auto& each : value) append(text, ",", each.is_string() ? each.get<std::string>() : each.dump());
  return text;
}

bool flags_describe_image(const Config& config) {
  return !flag_text(config, "image-size").empty();
}
bool flags_describe_audio(const Config& config) {
  return !flag_text(config, "sample-rate").empty();
}

nlohmann::json to_json(const ImageSpec& spec) {
  nlohmann::json json{{"size", {spec.height, spec.width}},
                      {"resize", name_of(resizes, spec.resize)},
                      {"crop", name_of(crops, spec.center_crop)},
                      {"interpolation", name_of(interpolations, spec.interpolation)},
                      {"antialias", spec.antialias},
                      {"channels", spec.channels},
                      {"scale", spec.scale},
                      {"mean", spec.mean},
                      {"std", spec.std}};
  if (spec.grey16 != Grey16::clip) json["grey16"] = name_of(greys, spec.grey16);
  if (spec.resize_to > 0) json["resize_to"] = spec.resize_to; // 0: not given
  return json;
}

nlohmann::json to_json(const AudioSpec& spec) {
  nlohmann::json json{{"sample_rate", spec.sample_rate},
                      {"channels", spec.channels},
                      {"seconds", nullptr},
                      {"features", name_of(features, spec.features)},
                      {"mels", spec.mels},
                      {"n_fft", spec.n_fft},
                      {"hop", spec.hop}};
  if (spec.seconds) json["seconds"] = *spec.seconds;
  return json;
}

ImageSpec read_image_spec(const JsonReader& json) {
  json.allow({"size", "resize", "resize_to", "crop", "interpolation", "antialias", "channels", "grey16", "scale", "mean", "std"});
  ImageSpec spec;
  std::vector<double> size;
  json.read("size", size);
  if (size.size() == 1) size.push_back(size.front());
  if (size.size() != 2) json.fail("size", "[height, width] in pixels is expected");
  for (const double side : size)
    if (side != std::floor(side) || side < 1 || side > largest_side)
      json.fail("size", fmt::format("whole numbers from 1 to {} are expected", largest_side));
  spec.height = static_cast<int>(size[0]);
  spec.width = static_cast<int>(size[1]);
  read_choice(json, "resize", resizes, spec.resize);
  json.read("resize_to", spec.resize_to, 1, largest_side);
  read_choice(json, "crop", crops, spec.center_crop);
  read_choice(json, "interpolation", interpolations, spec.interpolation);
  json.read("antialias", spec.antialias);
  json.read("channels", spec.channels, 1, 3);
  if (spec.channels == 2) json.fail("channels", "3 (RGB) or 1 (grey) is expected");
  read_choice(json, "grey16", greys, spec.grey16);
  json.read("scale", spec.scale);
  json.read("mean", spec.mean);
  json.read("std", spec.std);
  return spec;
}

AudioSpec read_audio_spec(const JsonReader& json) {
  json.allow({"sample_rate", "channels", "seconds", "features", "mels", "n_fft", "hop"});
  AudioSpec spec;
  json.read("sample_rate", spec.sample_rate, 1, highest_rate);
  json.read("channels", spec.channels, 1, 64);
  if (json.has("seconds")) {
    double seconds = 0;
    json.read("seconds", seconds);
    if (!(seconds > 0)) json.fail("seconds", "a number above 0, or null for whole files, is expected");
    spec.seconds = seconds;
  }
  read_choice(json, "features", features, spec.features);
  json.read("mels", spec.mels, 1, 1024);
  json.read("n_fft", spec.n_fft, 2, 1 << 16);
  json.read("hop", spec.hop, 1, 1 << 16);
  return spec;
}

void apply_image_flags(ImageSpec& spec, const Config& config) {
  const auto size = split_list(flag_text(config, "image-size"));
  if (size.size() > 2) throw usage_error("--image-size: one side or HEIGHT,WIDTH in pixels is expected");
  if (!size.empty()) {
    spec.height = whole_number(size.front(), "--image-size", largest_side);
    spec.width = whole_number(size.back(), "--image-size", largest_side);
  }
  if (const auto word = flag_text(config, "resize"); !word.empty()) spec.resize = choose(resizes, word, "--resize");
  if (const auto word = flag_text(config, "crop"); !word.empty()) spec.center_crop = choose(crops, word, "--crop");
  if (const auto word = flag_text(config, "interpolation"); !word.empty())
    spec.interpolation = choose(interpolations, word, "--interpolation");
  flag_whole(config, "resize-to", spec.resize_to, largest_side);
  flag_whole(config, "channels", spec.channels, 3);
  if (spec.channels == 2) throw usage_error("--channels: pictures have 3 (RGB) or 1 (grey)");
  flag_numbers(config, "mean", spec.mean);
  flag_numbers(config, "std", spec.std);
  if (const auto text = flag_text(config, "scale"); !text.empty()) spec.scale = number(text, "--scale");
  check(spec);
}

void apply_audio_flags(AudioSpec& spec, const Config& config) {
  flag_whole(config, "sample-rate", spec.sample_rate, highest_rate);
  flag_whole(config, "channels", spec.channels, 64);
  flag_whole(config, "mels", spec.mels, 1024);
  if (const auto text = flag_text(config, "audio-seconds"); !text.empty()) {
    const double seconds = number(text, "--audio-seconds");
    if (!(seconds > 0)) throw usage_error("--audio-seconds: a number above 0 is expected");
    spec.seconds = seconds;
  }
  if (const auto word = flag_text(config, "features"); !word.empty()) spec.features = choose(features, word, "--features");
}

} // namespace mgpu
