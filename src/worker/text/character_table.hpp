#pragma once
#include <cstdint>
#include <vector>

namespace mgpu::worker::text {

/// What the patterns and NFC ask of a code point, from utf8proc's tables. Bits of CharacterTable::classes.
enum CharacterClass : std::uint8_t {
  letter = 1,     ///< \p{L}
  number = 2,     ///< \p{N}
  space = 4,      ///< \s: the property White_Space
  word = 8,       ///< \w of Rust's regex: Alphabetic, marks, decimal digits, connectors, joiners
  nfc_stable = 16 ///< class 0 and NFC_Quick_Check=Yes: NFC neither changes it nor composes it with what stands before it
};

/// Classes of all code points, 1.1 MB, made once.
class CharacterTable {
 public:
  static const CharacterTable& get();

  std::uint8_t classes(char32_t code_point) const { return classes_[code_point]; }
  bool is(char32_t code_point, CharacterClass which) const { return (classes_[code_point] & which) != 0; }

 private:
  CharacterTable();
  void clear_unstable();
  std::vector<std::uint8_t> classes_;
};

} // namespace mgpu::worker::text
