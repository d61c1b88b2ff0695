// tokenizer.json, and texts: what is encoded without normalisation is decoded to the same text.
#include <string>

#include "fuzz/fuzz.hpp"
#include "mgpu/tokenizer.hpp"
#include "worker/text/byte_alphabet.hpp"
#include "worker/text/nfc.hpp"
#include "worker/text/utf8.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::worker::text;

/// A token for each byte, "ab" and "abc".
std::string vocabulary() {
  std::string json = "{";
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelling;
    append_utf8(spelling, character_of(static_cast<std::uint8_t>(byte)));
    if (spelling == "\"" || spelling == "\\") spelling.insert(0, 1, '\\');
    json += "\"" + spelling + "\": " + std::to_string(byte) + ", ";
  }
  return json + "\"ab\": 256, \"abc\": 257}";
}

std::string with_vocabulary(std::string content) {
  const std::size_t at = content.find("{}");
  return at == std::string::npos ? content : content.replace(at, 2, vocabulary());
}

Tokenizer open(const std::string& content) {
  const fuzz::File file("tokenizer.json", content);
  return Tokenizer::open(file.path());
}

Tokenizer plain(const std::string& pre_tokenizer) {
  return open(with_vocabulary(R"({"pre_tokenizer": )" + pre_tokenizer +
                              R"(, "decoder": {"type": "ByteLevel"}, "model": {"vocab": {}, "merges": ["a b", "ab c"]}})"));
}

void encode_and_decode(std::string_view text, const Tokenizer& tokenizer) {
  const std::string bytes = tokenizer.decode(tokenizer.encode(text));
  if (bytes != text) std::abort();
  std::string once, twice;
  const std::string_view normal = nfc(text, CharacterTable::get(), once);
  if (nfc(normal, CharacterTable::get(), twice) != normal) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer gpt2 = plain(R"({"type": "ByteLevel", "add_prefix_space": false})");
  static const Tokenizer qwen2 = plain(
      R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})");
  if (size == 0) return 0;
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  fuzz::must_not_fall([&] {
    if (data[0] == 0) {
      const Tokenizer tokenizer = open(with_vocabulary(std::string(text)));
      tokenizer.decode(tokenizer.encode("It's abc <s> ab\n  x"));
    } else {
      encode_and_decode(text, data[0] % 2 == 1 ? gpt2 : qwen2);
    }
  });
  return 0;
}
