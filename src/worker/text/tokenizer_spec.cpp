#include "worker/text/tokenizer_spec.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

#include "common/bundle/json_reader.hpp"
#include "common/support/text.hpp"
#include "worker/text/read_added_tokens.hpp"
#include "worker/text/read_model.hpp"
#include "worker/text/read_template.hpp"

namespace mgpu::worker::text {

namespace {

using nlohmann::json;

json parse_file(const std::string& path) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem)) throw usage_error(fmt::format("{}: no such file", show_path(path)));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw usage_error(fmt::format("{}: cannot be read", show_path(path)));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    throw usage_error(fmt::format("{}: not valid JSON at byte {}", show_path(path), error.byte));
  } catch (const json::exception&) {
    throw usage_error(fmt::format("{}: a number is out of range", show_path(path)));
  }
}

std::string type_of(const JsonReader& step) {
  std::string type;
  step.read("type", type);
  return type;
}

[[noreturn]] void refuse(const JsonReader& step, std::string_view supported) {
  step.fail("type", fmt::format("\"{}\" is not supported here; {} is", printable(type_of(step)), supported));
}

/// The steps of a part of the file, in order: of a Sequence its list `list_key`, else the part itself; null: none.
std::vector<JsonReader> steps_of(const JsonReader& file, std::string_view part, std::string_view list_key) {
  std::vector<JsonReader> steps;
  if (!file.has(part)) return steps;
  const JsonReader whole(file.at(part), file.inner(part));
  if (type_of(whole) != "Sequence") return {whole};
  if (!whole.has(list_key) || !whole.at(list_key).is_array()) whole.fail(list_key, "a list is expected");
  const json& list = whole.at(list_key);
  for (std::size_t i = 0; i < list.size(); ++i) steps.emplace_back(list[i], whole.inner(fmt::format("{}[{}]", list_key, i)));
  return steps;
}

void read_normalizer(const JsonReader& file, TokenizerSpec& spec) {
  for (const JsonReader& step : steps_of(file, "normalizer", "normalizers")) {
    if (type_of(step) != "NFC") refuse(step, "NFC, or none,");
    spec.nfc = true;
  }
}

void read_byte_level(const JsonReader& step, bool& add_prefix_space, bool& use_regex) {
  step.allow({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  bool trim_offsets = true; // of offsets, which nobody asks for here
  step.read("add_prefix_space", add_prefix_space);
  step.read("trim_offsets", trim_offsets);
  step.read("use_regex", use_regex);
}

SplitPattern read_split(const JsonReader& step) {
  step.allow({"type", "pattern", "behavior", "invert"});
  std::string behavior;
  step.read("behavior", behavior);
  if (behavior != "Isolated") step.fail("behavior", fmt::format("\"{}\" is not supported; Isolated is", printable(behavior)));
  bool invert = false;
  step.read("invert", invert);
  if (invert) step.fail("invert", "true is not supported");
  if (!step.has("pattern")) step.fail("pattern", "is missing");
  const JsonReader pattern(step.at("pattern"), step.inner("pattern"));
  std::string regex;
  pattern.read("Regex", regex);
  const auto known = split_pattern(regex);
  if (!known)
    step.fail("pattern",
              fmt::format("{} is neither GPT-2's nor Qwen2's; no other is supported", printable(step.at("pattern").dump())));
  return *known;
}

void read_pre_tokenizer(const JsonReader& file, TokenizerSpec& spec) {
  const std::vector<JsonReader> steps = steps_of(file, "pre_tokenizer", "pretokenizers");
  for (const JsonReader& step : steps)
    if (const std::string type = type_of(step); type != "ByteLevel" && type != "Split")
      refuse(step, "ByteLevel, or Split and ByteLevel,");
  const bool splits = steps.size() == 2 && type_of(steps[0]) == "Split";
  if ((steps.size() != 1 && !splits) || type_of(steps.back()) != "ByteLevel")
    file.fail("pre_tokenizer", "ByteLevel, or Split and then ByteLevel, is expected");
  bool use_regex = true;
  if (!steps.back().has("add_prefix_space")) steps.back().fail("add_prefix_space", "is missing");
  read_byte_level(steps.back(), spec.add_prefix_space, use_regex);
  if (use_regex) spec.pattern = SplitPattern::gpt2;
  if (!splits) return;
  if (use_regex) steps.back().fail("use_regex", "must be false after a Split");
  if (spec.add_prefix_space) steps.back().fail("add_prefix_space", "true is not supported after a Split");
  spec.pattern = read_split(steps[0]);
}

void read_decoder(const JsonReader& file) {
  const std::vector<JsonReader> steps = steps_of(file, "decoder", "decoders");
  if (steps.size() != 1) file.fail("decoder", "ByteLevel is expected");
  if (type_of(steps[0]) != "ByteLevel") refuse(steps[0], "ByteLevel");
  bool add_prefix_space = false, use_regex = false; // without effect on decoding
  read_byte_level(steps[0], add_prefix_space, use_regex);
}

void read_post_processor(const JsonReader& file, TokenizerSpec& spec) {
  bool has_template = false;
  for (const JsonReader& step : steps_of(file, "post_processor", "processors")) {
    if (type_of(step) == "ByteLevel") continue; // it changes offsets only
    if (type_of(step) != "TemplateProcessing") refuse(step, "ByteLevel or TemplateProcessing");
    if (has_template) step.fail("type", "a second TemplateProcessing is not supported");
    has_template = true;
    read_template(step, spec);
  }
}

} // namespace

TokenizerSpec read_tokenizer(const std::string& path) {
  const json document = parse_file(path);
  const JsonReader file(document, show_path(path) + ": ");
  file.allow(
      {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"});
  std::string version = "1.0";
  file.read("version", version);
  if (version != "1.0") file.fail("version", fmt::format("\"{}\" is not supported; \"1.0\" is", printable(version)));
  for (const char* key : {"truncation", "padding"})
    if (file.has(key)) file.fail(key, "is not supported; a job cuts and pads its batches");
  if (!file.has("model")) file.fail("model", "is missing");

  TokenizerSpec spec;
  Model model = read_model(JsonReader(file.at("model"), file.inner("model")));
  spec.model = std::move(model.bpe);
  read_normalizer(file, spec);
  spec.added_tokens = read_added_tokens(file, model.vocabulary, spec.nfc);
  read_pre_tokenizer(file, spec);
  read_decoder(file);
  read_post_processor(file, spec);
  return spec;
}

} // namespace mgpu::worker::text
