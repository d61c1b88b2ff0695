// The code points against the tables of tokenizers, which are of other versions of Unicode: those that one of the two does not know
// may differ.
#include <gtest/gtest.h>
#include <utf8proc.h>

#include "worker/text/character_table.hpp"
#include "worker/text/nfc.hpp"
#include "worker/text/references.hpp"
#include "worker/text/utf8.hpp"

namespace mgpu::test {
namespace {

using namespace worker::text;

bool is_assigned(std::uint32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) != UTF8PROC_CATEGORY_CN;
}

TEST(Characters, HaveTheClassesOfTokenizers) {
  const std::string wanted = read_file(reference("classes.bin"));
  ASSERT_EQ(wanted.size(), 0x110000u);
  int compared = 0, letters = 0;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    const auto theirs = static_cast<std::uint8_t>(wanted[c]);
    if (!is_assigned(c) || (theirs & 16) == 0) continue;
    const std::uint8_t ours = CharacterTable::get().classes(c);
    EXPECT_EQ(ours & (letter | number | space | word), theirs & (letter | number | space | word)) << std::hex << c;
    ++compared;
    letters += (ours & letter) != 0 ? 1 : 0;
  }
  EXPECT_GT(compared, 150'000);
  EXPECT_GT(letters, 130'000);
}

TEST(Characters, HaveTheNormalFormOfTokenizers) {
  const std::vector<std::string> texts = read_texts("nfc.bin");
  ASSERT_GT(texts.size(), 2 * 200'000u);
  std::string buffer;
  for (std::size_t i = 0; i + 1 < texts.size(); i += 2) {
    const std::string_view ours = nfc(texts[i], CharacterTable::get(), buffer);
    EXPECT_EQ(ours, texts[i + 1]);
    if (CharacterTable::get().is(code_point_at(texts[i], 0).value, nfc_stable)) {
      EXPECT_EQ(ours, texts[i]);
    }
  }
}

/// A character that is stable does not compose with one before it; the table is what lets nfc() pass over most of a text.
TEST(Characters, NfcOfPartsIsNfcOfTheWhole) {
  std::string buffer, with_x;
  for (std::uint32_t c = 0xA0; c < 0x110000; ++c) {
    const utf8proc_property_t& property = *utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
    if (property.decomp_seqindex == UINT16_MAX || property.decomp_type != 0) continue;
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    std::string decomposed = "ab";
    for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(decomposed, static_cast<char32_t>(parts[i]));
    decomposed += "cd";
    utf8proc_uint8_t* whole = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(decomposed.c_str()));
    EXPECT_EQ(nfc(decomposed, CharacterTable::get(), buffer), reinterpret_cast<const char*>(whole)) << std::hex << c;
    std::free(whole);
  }
}

TEST(Utf8, InvalidBytesAreReplacedByTheirMaximalParts) {
  // The examples of the Unicode standard, section 3.9, tables 3-8 to 3-11.
  const std::string r = "\uFFFD";
  EXPECT_EQ(replace_invalid("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replace_invalid("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(replace_invalid("all is well: 한 😀"), "all is well: 한 😀");
  EXPECT_EQ(replace_invalid("\xF0\x9F\x98"), r);
}

} // namespace
} // namespace mgpu::test
