#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mgpu::worker::text {

struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 1;
};

/// The code point at byte `at` of a text that is valid UTF-8.
inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<std::uint8_t>(text[at + i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// Begin of the code point that ends before byte `end` > 0 of a text that is valid UTF-8.
inline std::size_t code_point_before(std::string_view text, std::size_t end) {
  do {
    --end;
  } while ((static_cast<std::uint8_t>(text[end]) & 0xC0) == 0x80);
  return end;
}

/// Number of bytes at the begin of `text`, a multiple of 8, that are ASCII.
std::size_t ascii_blocks(std::string_view text);

/// Position of the first byte that belongs to no UTF-8 sequence; npos: all is valid. Surrogates and overlong forms are invalid.
std::size_t first_invalid(std::string_view text);

void append_utf8(std::string& text, char32_t code_point);

/// The bytes with every invalid sequence replaced by U+FFFD: one for each maximal part of a sequence (Unicode, "U+FFFD
/// Substitution of Maximal Subparts"), as Rust's String::from_utf8_lossy and Python's errors="replace" do it.
std::string replace_invalid(std::string bytes);

} // namespace mgpu::worker::text
