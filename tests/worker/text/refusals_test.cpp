#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "mgpu/error.hpp"
#include "mgpu/tokenizer.hpp"
#include "worker/text/byte_alphabet.hpp"
#include "worker/text/utf8.hpp"

namespace mgpu::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

/// The smallest tokenizer: a token for each byte, and "ab".
json smallest() {
  json vocabulary = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelling;
    worker::text::append_utf8(spelling, worker::text::character_of(static_cast<std::uint8_t>(byte)));
    vocabulary[spelling] = byte;
  }
  vocabulary["ab"] = 256;
  const json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const json model{{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", ""},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", vocabulary},
                   {"merges", json::array({json::array({"a", "b"})})}};
  return {{"version", "1.0"},      {"truncation", nullptr},       {"padding", nullptr},        {"added_tokens", json::array()},
          {"normalizer", nullptr}, {"pre_tokenizer", byte_level}, {"post_processor", nullptr}, {"decoder", byte_level},
          {"model", model}};
}

json added(std::int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content}, {"special", true},     {"normalized", false},
          {"lstrip", false}, {"rstrip", false},    {"single_word", false}};
}

json pair(const char* left, const char* right) {
  return json::array({left, right});
}

class Refusals : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  /// The message for a file with this content; it is one line and names the file.
  std::string reason_of(const std::string& content) {
    std::ofstream(path_) << content;
    try {
      Tokenizer::open(path_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      const std::string what = error.what();
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
      EXPECT_THAT(what, StartsWith("\"" + path_ + "\": "));
      return what.substr(path_.size() + 4);
    }
    return "nothing was refused";
  }

  /// The message for the smallest tokenizer after a change.
  std::string reason(const std::function<void(json&)>& change) {
    json content = smallest();
    change(content);
    return reason_of(content.dump());
  }

  std::string path_ =
      (std::filesystem::temp_directory_path() / ("mgpu_tokenizer_" + std::to_string(::getpid()) + ".json")).string();
};

TEST_F(Refusals, TheSmallestTokenizerIsAccepted) {
  EXPECT_EQ(reason([](json&) {}), "nothing was refused");
  EXPECT_EQ(Tokenizer::open(path_).encode("abc ab"), (std::vector<std::int64_t>{256, 'c', ' ', 256}));
}

TEST_F(Refusals, FilesThatAreNoJson) {
  EXPECT_EQ(reason_of(""), "not valid JSON at byte 1");
  EXPECT_EQ(reason_of("{\"model\": "), "not valid JSON at byte 11");
  EXPECT_EQ(reason_of("{\"a\": \"\xFF\"}"), "not valid JSON at byte 8");
  EXPECT_EQ(reason_of("{\"a\": 1e999}"), "a number is out of range");
  EXPECT_THAT(reason_of("[1]"), HasSubstr("an object { … } is expected"));
  EXPECT_EQ(reason_of(std::string(100'000, '[')), "not valid JSON at byte 100001");
  for (const char* path : {"/nowhere/tokenizer.json", "/tmp"}) EXPECT_THROW(Tokenizer::open(path), Error);
}

TEST_F(Refusals, OtherModels) {
  EXPECT_THAT(reason([](json& file) { file.erase("model"); }), StartsWith("model: is missing"));
  for (const char* type : {"WordPiece", "Unigram", "WordLevel"})
    EXPECT_EQ(reason([&](json& file) {
                file["model"] = {{"type", type}, {"unk_id", 0}, {"vocab", json::object()}};
              }),
              std::string("model.type: \"") + type + "\" is not supported; it must be BPE");
  const auto key = [](const char* name, json value) { return [name, value](json& file) { file["model"][name] = value; }; };
  EXPECT_THAT(reason(key("dropout", 0.1)), StartsWith("model.dropout: "));
  EXPECT_THAT(reason(key("byte_fallback", true)), StartsWith("model.byte_fallback: true is not supported"));
  EXPECT_THAT(reason(key("continuing_subword_prefix", "##")),
              StartsWith("model.continuing_subword_prefix: \"##\" is not supported"));
  EXPECT_THAT(reason(key("end_of_word_suffix", "</w>")), StartsWith("model.end_of_word_suffix: \"</w>\" is not supported"));
  EXPECT_THAT(reason(key("max_input_chars_per_word", 100)), StartsWith("model.max_input_chars_per_word is not a known key"));
  EXPECT_THAT(reason(key("ignore_merges", 1)), StartsWith("model.ignore_merges: true or false is expected"));
}

TEST_F(Refusals, Vocabularies) {
  const auto token = [](const char* name, json value) {
    return [name, value](json& file) { file["model"]["vocab"][name] = value; };
  };
  for (const json& value : {json(-1), json(1.5), json("7"), json(10'000'000), json(1e30), json(nullptr)})
    EXPECT_EQ(reason(token("new", value)), "model.vocab.new: a whole number from 0 to 9999999 is expected") << value;
  EXPECT_EQ(reason(token("new", 256)), "model.vocab: \"ab\" and \"new\" have the same id 256");
  EXPECT_EQ(reason(token("", 257)), "model.vocab: a token is empty");
  EXPECT_THAT(reason([](json& file) { file["model"]["vocab"].erase("Ġ"); }),
              StartsWith("model.vocab: the byte 0x20 (\"Ġ\") has no token"));
  EXPECT_THAT(reason([](json& file) { file["model"]["vocab"] = json::array(); }), StartsWith("model.vocab: an object"));
}

TEST_F(Refusals, Merges) {
  const auto merges = [](json value) { return [value](json& file) { file["model"]["merges"] = value; }; };
  EXPECT_EQ(reason(merges(json::array({pair("a", "b"), pair("a", "bc")}))), "model.merges[1]: \"bc\" is not in vocab");
  EXPECT_EQ(reason(merges(json::array({pair("a", "c")}))), "model.merges[0]: \"ac\" is not in vocab");
  for (const json& merge : {json("ab"), json("a b c"), json::array({"a"}), json::array({"a", 1}), json(5), json(nullptr)})
    EXPECT_THAT(reason(merges(json::array({merge}))), StartsWith("model.merges[0]: two tokens are expected")) << merge;
  EXPECT_THAT(reason(merges(nullptr)), StartsWith("model.merges: a list is expected"));
  EXPECT_EQ(reason(merges(json::array({"#version: 0.2", "a b"}))), "nothing was refused");
}

TEST_F(Refusals, OtherNormalizersAndPreTokenizers) {
  const auto part = [](const char* name, json value) { return [name, value](json& file) { file[name] = value; }; };
  EXPECT_EQ(reason(part("normalizer", {{"type", "NFKC"}})), "normalizer.type: \"NFKC\" is not supported here; NFC, or none, is");
  EXPECT_EQ(reason(part("normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}})),
            "normalizer.normalizers[1].type: \"Lowercase\" is not supported here; NFC, or none, is");
  EXPECT_THAT(reason(part("pre_tokenizer", nullptr)),
              StartsWith("pre_tokenizer: ByteLevel, or Split and then ByteLevel, is expected"));
  EXPECT_THAT(reason(part("pre_tokenizer", {{"type", "Metaspace"}})),
              StartsWith("pre_tokenizer.type: \"Metaspace\" is not supported here"));
  EXPECT_EQ(reason(part("pre_tokenizer", {{"type", "ByteLevel"}})), "pre_tokenizer.add_prefix_space: is missing");

  const json bytes{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto split = [&](json pattern, json behavior, json invert, json last) {
    return part(
        "pre_tokenizer",
        {{"type", "Sequence"},
         {"pretokenizers", {{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}}, last}}});
  };
  const json gpt2{{"Regex", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"}};
  EXPECT_EQ(reason(split(gpt2, "Isolated", false, bytes)), "nothing was refused");
  EXPECT_EQ(reason(split({{"Regex", "\\d+"}}, "Isolated", false, bytes)),
            R"(pre_tokenizer.pretokenizers[0].pattern: {"Regex":"\\d+"} is neither GPT-2's nor Qwen2's; no other is supported)");
  EXPECT_THAT(reason(split({{"String", " "}}, "Isolated", false, bytes)), HasSubstr(R"(pattern: {"String":" "} is neither)"));
  EXPECT_THAT(reason(split(gpt2, "Removed", false, bytes)), HasSubstr("behavior: \"Removed\" is not supported"));
  EXPECT_THAT(reason(split(gpt2, "Isolated", true, bytes)), HasSubstr("invert: true is not supported"));
  EXPECT_THAT(reason(split(gpt2, "Isolated", false, smallest()["pre_tokenizer"])),
              HasSubstr("use_regex: must be false after a Split"));
  EXPECT_THAT(reason(split(gpt2, "Isolated", false, {{"type", "Digits"}})),
              HasSubstr("pretokenizers[1].type: \"Digits\" is not supported"));
}

TEST_F(Refusals, OtherDecodersPostProcessorsAndSettings) {
  const auto part = [](const char* name, json value) { return [name, value](json& file) { file[name] = value; }; };
  EXPECT_EQ(reason(part("decoder", nullptr)), "decoder: ByteLevel is expected");
  EXPECT_EQ(reason(part("decoder", {{"type", "WordPiece"}})), "decoder.type: \"WordPiece\" is not supported here; ByteLevel is");
  EXPECT_THAT(reason(part("post_processor", {{"type", "RobertaProcessing"}})),
              StartsWith("post_processor.type: \"RobertaProcessing\" is not supported here"));
  EXPECT_THAT(reason(part("truncation", {{"max_length", 5}})), StartsWith("truncation: is not supported"));
  EXPECT_THAT(reason(part("padding", {{"pad_id", 5}})), StartsWith("padding: is not supported"));
  EXPECT_THAT(reason(part("version", "2.0")), StartsWith("version: \"2.0\" is not supported"));
  EXPECT_THAT(reason(part("more", 1)), StartsWith("more is not a known key"));
}

TEST_F(Refusals, Templates) {
  const json text{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, special{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const auto pieces = [](json single, json ids) {
    return [single, ids](json& file) {
      file["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", single},
                                {"pair", json::array()},
                                {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", ids}, {"tokens", {"<s>"}}}}}}};
    };
  };
  EXPECT_EQ(reason(pieces(json::array({special, text}), json::array({7}))), "nothing was refused");
  EXPECT_EQ(reason(pieces(json::array({special, text}), json::array({900}))),
            "post_processor.special_tokens.<s>.ids: 900 is the id of no token");
  EXPECT_THAT(reason(pieces(json::array({special, text}), 7)), HasSubstr("ids: a list of token ids is expected"));
  EXPECT_THAT(reason(pieces(json::array({special}), json::array({7}))), StartsWith("post_processor.single: it has no text"));
  EXPECT_THAT(reason(pieces(json::array({text, text}), json::array({7}))),
              StartsWith("post_processor.single[1].Sequence.id: the text A is expected, once"));
  EXPECT_THAT(reason(pieces(json::array({{{"SpecialToken", {{"id", "</s>"}}}}, text}), json::array({7}))),
              StartsWith("post_processor.special_tokens.</s>: is missing"));
}

TEST_F(Refusals, AddedTokens) {
  const auto tokens = [](json list) { return [list](json& file) { file["added_tokens"] = list; }; };
  EXPECT_EQ(reason(tokens(json::array({added(257, "<s>"), added(258, "</s>"), added(256, "ab")}))), "nothing was refused");
  EXPECT_EQ(reason(tokens(json::array({added(258, "<s>")}))),
            "added_tokens[0].id: 258 is not the id of \"<s>\" in the vocabulary, or the next free one: 257");
  EXPECT_THAT(reason(tokens(json::array({added(257, "ab")}))), StartsWith("added_tokens[0].id: 257 is not the id of \"ab\""));
  EXPECT_EQ(reason(tokens(json::array({added(257, "<s>"), added(258, "<s>")}))),
            "added_tokens[1].content: \"<s>\" is added twice");
  EXPECT_EQ(reason(tokens(json::array({added(257, "")}))), "added_tokens[0].content: is empty");
  EXPECT_THAT(reason(tokens(json::array({{{"id", 257}, {"content", "<s>"}}}))),
              StartsWith("added_tokens[0].special: is missing"));
  EXPECT_THAT(reason(tokens(json::array({added(-3, "<s>")}))), StartsWith("added_tokens[0].id: a whole number"));
  EXPECT_THAT(reason(tokens(json::array({5}))), StartsWith("added_tokens[0]. an object"));
  EXPECT_THAT(reason(tokens("none")), StartsWith("added_tokens: a list is expected"));
}

} // namespace
} // namespace mgpu::test
