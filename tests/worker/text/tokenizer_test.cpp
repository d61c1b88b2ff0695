#include "mgpu/tokenizer.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "mgpu/error.hpp"
#include "worker/text/nfc.hpp"
#include "worker/text/references.hpp"

namespace mgpu::test {
namespace {

/// Every text has the ids of `tokenizers`; the first few that have not are shown.
void expect_ids(const std::string& name, const std::string& file, bool add_special_tokens) {
  const std::vector<std::string> texts = read_texts("texts.bin");
  const std::vector<Ids> wanted = read_ids(file);
  ASSERT_EQ(texts.size(), wanted.size());
  ASSERT_GE(texts.size(), 20'000u);
  int wrong = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Ids ids = tokenizer(name).encode(texts[i], add_special_tokens);
    if (ids == wanted[i]) continue;
    ADD_FAILURE() << "text " << i << ": " << testing::PrintToString(texts[i].substr(0, 300)) << "\nours   "
                  << testing::PrintToString(ids) << "\nwanted " << testing::PrintToString(wanted[i]);
    if (++wrong == 5) return;
  }
}

TEST(Tokenizer, EncodesAsTokenizersWithQwensVocabulary) {
  expect_ids("qwen", "qwen.ids", true);
}

TEST(Tokenizer, EncodesAsTokenizersWithPrefixSpaceTemplateAndOddAddedTokens) {
  expect_ids("small", "small.ids", true);
}

TEST(Tokenizer, LeavesTheTemplateOut) {
  expect_ids("small", "plain.ids", false);
}

TEST(Tokenizer, EncodesAsTokenizersWithNfcSplitAndIgnoredMerges) {
  expect_ids("normal", "normal.ids", true);
}

TEST(Tokenizer, DecodesAsTokenizers) {
  for (const std::string name : {"qwen", "small", "normal"}) {
    const std::vector<Ids> samples = read_ids(name + ".samples");
    const std::vector<std::string> wanted = read_texts(name + ".decoded");
    ASSERT_EQ(wanted.size(), 2 * samples.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      EXPECT_EQ(tokenizer(name).decode(samples[i / 2], i % 2 == 0), wanted[i]) << name << " " << i / 2;
  }
}

TEST(Tokenizer, DecodesWhatItEncoded) {
  std::string buffer;
  int compared = 0;
  for (const std::string& text : read_texts("texts.bin")) {
    if (text.find("<|") != std::string::npos) continue; // NFC of the pieces around an added token is not NFC of the whole
    const std::string_view normal = worker::text::nfc(text, worker::text::CharacterTable::get(), buffer);
    ASSERT_EQ(tokenizer("qwen").decode(tokenizer("qwen").encode(text)), normal);
    ++compared;
  }
  EXPECT_GT(compared, 10'000);
}

TEST(Tokenizer, IdsWithoutATokenAddNothing) {
  const Tokenizer& qwen = tokenizer("qwen");
  EXPECT_EQ(qwen.decode(Ids{-1, -100, qwen.size(), std::int64_t{1} << 40, 0}), "!");
  EXPECT_EQ(qwen.decode({}), "");
}

TEST(Tokenizer, FindsIdsByText) {
  const Tokenizer& qwen = tokenizer("qwen");
  EXPECT_EQ(qwen.id("<|im_end|>"), 151645);
  EXPECT_EQ(qwen.id("!"), 0);
  EXPECT_EQ(qwen.id(" the"), 279);
  EXPECT_EQ(qwen.id("no token at all"), std::nullopt);
  EXPECT_EQ(qwen.id(""), std::nullopt);
  EXPECT_EQ(qwen.size(), 151646);
}

TEST(Tokenizer, RefusesWhatIsNotUtf8) {
  const auto reason = [](std::string_view text) {
    try {
      tokenizer("qwen").encode(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::failed) << "costs its item only";
      return std::string(error.what());
    }
    return std::string("nothing was refused");
  };
  const std::string before = "abcdefghijk한";
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xFF", "\xE4\xBD", "\xF0\x9F\x98", "\xC3"})
    for (const char* after : {"", "z", "한"}) EXPECT_EQ(reason(before + bad + after), "not UTF-8 at byte 14");
  EXPECT_EQ(reason(std::string_view(before.data(), 256'000'001)),
            "a text of 256000001 bytes, limit 256000000"); // refused before it is read
}

/// A time that is quadratic in these lengths would be hours.
TEST(Tokenizer, LongWordsTakeNoQuadraticTime) {
  std::string letters, marks = "x";
  for (int i = 0; i < 500'000; ++i) letters += static_cast<char>('a' + (i / 7 + i * 3) % 26);
  for (int i = 0; i < 150'000; ++i) marks += "\u0301\u0323";
  for (const std::string& text :
       {letters, marks, std::string(500'000, ' '), std::string(500'000, '<'), std::string(500'000, 'a')})
    EXPECT_GT(tokenizer("qwen").encode(text).size(), 1000u);
}

TEST(Tokenizer, IsSharedByThreads) {
  const std::vector<std::string> texts = read_texts("texts.bin");
  const std::vector<Ids> wanted = read_ids("qwen.ids");
  std::vector<std::thread> threads;
  for (std::size_t first = 0; first < 4; ++first)
    threads.emplace_back([&, first] {
      const Tokenizer copy = tokenizer("qwen");
      for (std::size_t i = first; i < 4000; i += 2) EXPECT_EQ(copy.encode(texts[i]), wanted[i]);
    });
  for (auto& thread : threads) thread.join();
}

} // namespace
} // namespace mgpu::test
