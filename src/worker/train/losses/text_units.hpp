#pragma once
// The units of character and word error rates.
#include <algorithm>
#include <string_view>
#include <vector>

namespace mgpu::worker::train {

/// The UTF-8 characters of a text.
inline std::vector<std::string_view> characters_of(std::string_view text) {
  std::vector<std::string_view> characters;
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = begin + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) ++end;
    characters.push_back(text.substr(begin, end - begin));
  }
  return characters;
}

/// The words of a text, separated by white space.
inline std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  std::vector<std::string_view> words;
  for (std::size_t begin = text.find_first_not_of(space); begin != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(space, begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(space, end);
  }
  return words;
}

} // namespace mgpu::worker::train
