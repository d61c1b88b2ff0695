#include "worker/text/character_table.hpp"

#include <utf8proc.h>

#include <array>

namespace mgpu::worker::text {

namespace {

constexpr std::int32_t code_points = 0x110000;

bool is_space(std::int32_t c, int category) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

/// utf8proc lacks the property Alphabetic. It is letters, letter numbers, some marks (all marks are \w anyway), and these
/// symbols.
bool is_alphabetic_symbol(std::int32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

bool is_word(std::int32_t c, int category) {
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC ||
         c == 0x200C || c == 0x200D || is_alphabetic_symbol(c);
}

std::uint8_t classes_of(std::int32_t c, const utf8proc_property_t& property) {
  const int category = property.category;
  unsigned bits = 0;
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) bits |= letter;
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) bits |= number;
  if (is_space(c, category)) bits |= space;
  if (is_word(c, category)) bits |= word;
  if (property.combining_class == 0) bits |= nfc_stable;
  return static_cast<std::uint8_t>(bits);
}

} // namespace

const CharacterTable& CharacterTable::get() {
  static const CharacterTable table;
  return table;
}

CharacterTable::CharacterTable() : classes_(code_points) {
  for (std::int32_t c = 0; c < code_points; ++c) classes_[static_cast<std::size_t>(c)] = classes_of(c, *utf8proc_get_property(c));
  clear_unstable();
}

/// What NFC replaces (no round trip through the decomposition), and what composes with a character before it (all but the first
/// of a decomposition).
void CharacterTable::clear_unstable() {
  const auto clear = [&](std::int32_t c) { classes_[static_cast<std::size_t>(c)] &= static_cast<std::uint8_t>(~nfc_stable); };
  for (std::int32_t c = 0x1161; c <= 0x1175; ++c) clear(c); // vowels of Hangul
  for (std::int32_t c = 0x11A8; c <= 0x11C2; ++c) clear(c); // final consonants of Hangul
  for (std::int32_t c = 0; c < code_points; ++c) {
    const utf8proc_property_t& property = *utf8proc_get_property(c);
    if (property.decomp_seqindex == UINT16_MAX || property.decomp_type != 0) continue;
    std::array<utf8proc_int32_t, 32> parts{};
    int boundary = 0;
    const auto count = utf8proc_decompose_char(c, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 1; i < count; ++i) clear(parts[static_cast<std::size_t>(i)]);
    const auto composed =
        utf8proc_normalize_utf32(parts.data(), count, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    if (composed != 1 || parts[0] != c) clear(c);
  }
}

} // namespace mgpu::worker::text
