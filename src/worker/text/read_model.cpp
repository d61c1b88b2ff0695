#include "worker/text/read_model.hpp"

#include <algorithm>

#include "common/support/text.hpp"
#include "worker/text/byte_alphabet.hpp"
#include "worker/text/utf8.hpp"

namespace mgpu::worker::text {

namespace {

using nlohmann::json;

std::string in_quotes(std::string_view text) {
  return fmt::format("\"{}\"", printable(text));
}

/// Files of early versions do not say their type; they have merges, as only BPE has.
void require_bpe(const JsonReader& model) {
  std::string type = "BPE";
  model.read("type", type);
  if (type != "BPE") model.fail("type", fmt::format("{} is not supported; it must be BPE", in_quotes(type)));
}

/// Settings of other kinds of BPE: absent, null, or the value that has no effect.
void require_plain(const JsonReader& model) {
  double dropout = 0;
  model.read("dropout", dropout);
  if (dropout != 0) model.fail("dropout", "BPE with dropout is not supported");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    std::string affix;
    model.read(key, affix);
    if (!affix.empty()) model.fail(key, fmt::format("{} is not supported: byte-level BPE has none", in_quotes(affix)));
  }
  bool byte_fallback = false, fuse_unk = false;
  model.read("byte_fallback", byte_fallback);
  model.read("fuse_unk", fuse_unk); // without effect where each byte has a token, as is unk_token
  if (byte_fallback) model.fail("byte_fallback", "true is not supported: the tokenizer is of another kind than byte-level BPE");
  std::string unk_token;
  model.read("unk_token", unk_token);
}

void fill_tokens(const JsonReader& model, const Vocabulary& vocabulary, BpeSpec& spec) {
  std::uint32_t largest = 0;
  for (const auto& [spelling, id] : vocabulary) largest = std::max(largest, id);
  std::vector<std::string_view> spellings(largest + 1);
  spec.bytes.resize(largest + 1);
  spec.of_bytes.resize(largest + 1);
  for (const auto& [spelling, id] : vocabulary) {
    if (!spellings[id].empty()) {
      const auto [first, second] = std::minmax(spellings[id], spelling);
      model.fail("vocab", fmt::format("{} and {} have the same id {}", in_quotes(first), in_quotes(second), id));
    }
    spellings[id] = spelling;
    const auto bytes = bytes_of(spelling);
    spec.of_bytes[id] = bytes.has_value();
    spec.bytes[id] = bytes.value_or(std::string(spelling));
  }
}

void fill_byte_tokens(const JsonReader& model, const Vocabulary& vocabulary, BpeSpec& spec) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelling;
    append_utf8(spelling, character_of(static_cast<std::uint8_t>(byte)));
    const auto found = vocabulary.find(spelling);
    if (found == vocabulary.end())
      model.fail("vocab", fmt::format("the byte 0x{:02X} ({}) has no token; byte-level BPE has one for each byte", byte,
                                      in_quotes(spelling)));
    spec.byte_tokens[static_cast<std::size_t>(byte)] = found->second;
  }
}

/// The two parts of a merge: ["a", "b"], or "a b" in files of early versions.
std::pair<std::string_view, std::string_view> parts_of(const JsonReader& model, const std::string& key, const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const auto space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  model.fail(key, R"(two tokens are expected, as "a b" or ["a", "b"])");
}

void fill_merges(const JsonReader& model, const Vocabulary& vocabulary, BpeSpec& spec) {
  if (!model.has("merges") || !model.at("merges").is_array()) model.fail("merges", "a list is expected");
  const json& merges = model.at("merges");
  spec.merges.reserve(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    if (merges[i].is_string() && merges[i].get_ref<const std::string&>().starts_with("#version")) continue;
    const std::string key = fmt::format("merges[{}]", i);
    const auto [left, right] = parts_of(model, key, merges[i]);
    const auto id_of = [&](std::string_view token) {
      const auto found = vocabulary.find(token);
      if (found == vocabulary.end()) model.fail(key, fmt::format("{} is not in vocab", in_quotes(token)));
      return found->second;
    };
    joined.assign(left).append(right);
    spec.merges.push_back({id_of(left), id_of(right), id_of(joined)});
  }
}

constexpr std::uint32_t largest_id = 9'999'999;

bool is_id(const json& value) {
  // A number beyond 64 bits is a floating-point number to the parser.
  return value.is_number_integer() && value.get<double>() >= 0 && value.get<double>() <= largest_id;
}

[[noreturn]] void fail_id(const JsonReader& json, std::string_view key) {
  json.fail(key, fmt::format("a whole number from 0 to {} is expected", largest_id));
}

Vocabulary read_vocabulary(const JsonReader& model) {
  if (!model.has("vocab") || !model.at("vocab").is_object()) model.fail("vocab", R"(an object { "token": id, … } is expected)");
  const json& object = model.at("vocab");
  Vocabulary vocabulary;
  vocabulary.reserve(object.size());
  for (const auto& [spelling, id] : object.items()) {
    if (spelling.empty()) model.fail("vocab", "a token is empty");
    if (!is_id(id)) fail_id(model, "vocab." + printable(spelling));
    vocabulary.emplace(spelling, id.get<std::uint32_t>());
  }
  return vocabulary;
}

} // namespace

std::uint32_t read_id(const JsonReader& json, std::string_view key, const nlohmann::json& value) {
  if (!is_id(value)) fail_id(json, key);
  return value.get<std::uint32_t>();
}

Model read_model(const JsonReader& model) {
  require_bpe(model); // before its keys: those of another model are other ones
  model.allow({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
               "ignore_merges", "vocab", "merges"});
  require_plain(model);
  Model result;
  result.vocabulary = read_vocabulary(model);
  model.read("ignore_merges", result.bpe.ignore_merges);
  fill_tokens(model, result.vocabulary, result.bpe);
  fill_byte_tokens(model, result.vocabulary, result.bpe);
  fill_merges(model, result.vocabulary, result.bpe);
  return result;
}

} // namespace mgpu::worker::text
