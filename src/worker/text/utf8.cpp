#include "worker/text/utf8.hpp"

#include <cstring>

namespace mgpu::worker::text {

namespace {

struct Sequence {
  std::size_t bytes; ///< of an invalid sequence: its maximal part that begins a valid one, at least 1
  bool valid;
};

/// Table 3-7 of the Unicode standard: the lead byte gives the length, and the range of the byte after it.
Sequence sequence_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<std::uint8_t>(text[at]);
  std::uint8_t low = 0x80, high = 0xBF;
  std::size_t bytes = 0;
  if (lead < 0x80) {
    return {1, true};
  } else if (lead >= 0xC2 && lead <= 0xDF) {
    bytes = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    bytes = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    bytes = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, false};
  }
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto byte = at + i < text.size() ? static_cast<std::uint8_t>(text[at + i]) : std::uint8_t{0};
    if (byte < low || byte > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {bytes, true};
}

} // namespace

std::size_t ascii_blocks(std::string_view text) {
  std::size_t at = 0;
  for (std::uint64_t block = 0; at + sizeof block <= text.size(); at += sizeof block) {
    std::memcpy(&block, text.data() + at, sizeof block);
    if ((block & 0x8080808080808080u) != 0) break;
  }
  return at;
}

std::size_t first_invalid(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    at += ascii_blocks(text.substr(at));
    // Text is seldom ASCII again soon after it was not.
    for (int i = 0; i < 16 && at < text.size(); ++i) {
      const Sequence sequence = sequence_at(text, at);
      if (!sequence.valid) return at;
      at += sequence.bytes;
    }
  }
  return std::string_view::npos;
}

void append_utf8(std::string& text, char32_t c) {
  const auto tail = [&](int shift) { text.push_back(static_cast<char>(0x80 | (c >> shift & 0x3F))); };
  if (c < 0x80) {
    text.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    text.push_back(static_cast<char>(0xC0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    text.push_back(static_cast<char>(0xE0 | c >> 12));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xF0 | c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string replace_invalid(std::string bytes) {
  std::size_t bad = first_invalid(bytes);
  if (bad == std::string::npos) return bytes;
  std::string text;
  std::string_view rest = bytes;
  for (; bad != std::string_view::npos; bad = first_invalid(rest)) {
    text.append(rest.substr(0, bad)).append("\xEF\xBF\xBD");
    rest.remove_prefix(bad + sequence_at(rest, bad).bytes);
  }
  return text.append(rest);
}

} // namespace mgpu::worker::text
