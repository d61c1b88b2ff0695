#include "worker/text/nfc.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "worker/text/utf8.hpp"

namespace mgpu::worker::text {

namespace {

using Points = std::vector<utf8proc_int32_t>;

void append_decomposition(char32_t c, Points& points) {
  std::array<utf8proc_int32_t, 32> parts{};
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
  points.insert(points.end(), parts.begin(), parts.begin() + count);
}

int combining_class(utf8proc_int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

/// Marks in canonical order. utf8proc_decompose() sorts in place by exchanging neighbours: hours for a long run of marks.
void order_marks(Points& points) {
  const auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
  for (auto begin = std::find_if(points.begin(), points.end(), is_mark); begin != points.end();) {
    const auto end = std::find_if_not(begin, points.end(), is_mark);
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = std::find_if(end, points.end(), is_mark);
  }
}

void append_composed(std::string_view text, Points& points, std::string& out) {
  points.clear();
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    append_decomposition(c.value, points);
    at += c.bytes;
  }
  order_marks(points);
  const auto count = utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                              static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(out, static_cast<char32_t>(points[static_cast<std::size_t>(i)]));
}

} // namespace

std::string_view nfc(std::string_view text, const CharacterTable& characters, std::string& buffer) {
  const auto stable = [&](const CodePoint& c) { return characters.is(c.value, nfc_stable); };
  Points points;
  buffer.clear();
  std::size_t copied = 0;  // the text before it is in the buffer
  std::size_t starter = 0; // the last stable character: what follows may compose with it
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t ascii = ascii_blocks(text.substr(at)); ascii > 0) {
      at += ascii;
      starter = at - 1;
      continue;
    }
    const CodePoint c = code_point_at(text, at);
    if (stable(c)) {
      starter = at;
      at += c.bytes;
      continue;
    }
    // NFC of a text is NFC of its parts if the later part begins with a stable character (UAX #15, 9.1). Two in a row end this
    // part: then it is a word, not a syllable.
    std::size_t end = at + c.bytes;
    for (bool before = false; end < text.size();) {
      const CodePoint next = code_point_at(text, end);
      if (before && stable(next)) break;
      before = stable(next);
      end += next.bytes;
    }
    if (end < text.size()) end = code_point_before(text, end);
    buffer.append(text.substr(copied, starter - copied));
    append_composed(text.substr(starter, end - starter), points, buffer);
    copied = starter = at = end;
  }
  if (copied == 0) return text;
  buffer.append(text.substr(copied));
  return buffer;
}

} // namespace mgpu::worker::text
