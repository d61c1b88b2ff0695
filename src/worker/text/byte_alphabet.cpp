#include "worker/text/byte_alphabet.hpp"

#include <array>

#include "worker/text/utf8.hpp"

namespace mgpu::worker::text {

namespace {

constexpr bool is_visible(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr std::array<char32_t, 256> characters = [] {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    table[static_cast<std::size_t>(byte)] = is_visible(byte) ? static_cast<char32_t>(byte) : next++;
  return table;
}();

constexpr std::size_t after_last = 0x100 + 68; // 68 bytes are not visible

constexpr std::array<std::int16_t, after_last> bytes = [] {
  std::array<std::int16_t, after_last> table{};
  for (auto& byte : table) byte = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) table[characters[byte]] = static_cast<std::int16_t>(byte);
  return table;
}();

} // namespace

char32_t character_of(std::uint8_t byte) {
  return characters[byte];
}

std::optional<std::string> bytes_of(std::string_view spelling) {
  std::string result;
  for (std::size_t at = 0; at < spelling.size();) {
    const CodePoint c = code_point_at(spelling, at);
    if (c.value >= after_last || bytes[c.value] < 0) return std::nullopt;
    result.push_back(static_cast<char>(bytes[c.value]));
    at += c.bytes;
  }
  return result;
}

} // namespace mgpu::worker::text
