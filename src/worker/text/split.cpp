#include "worker/text/split.hpp"

#include "worker/text/utf8.hpp"

namespace mgpu::worker::text {

namespace {

constexpr std::string_view gpt2_regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// A code point is one of these four; the last is [^\s\p{L}\p{N}].
constexpr std::uint8_t kinds = letter | number | space;
constexpr std::uint8_t other = 0;

bool is_newline(char c) {
  return c == '\r' || c == '\n';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

class Scanner {
 public:
  Scanner(std::string_view text, const CharacterTable& characters) : text_(text), characters_(characters) {}

  std::size_t gpt2(std::size_t begin) const {
    if (const std::size_t bytes = contraction(begin, false); bytes > 0) return begin + bytes;
    const std::size_t after_space = begin + (text_[begin] == ' ' && begin + 1 < text_.size() ? 1 : 0);
    if (const std::uint8_t kind = kind_at(after_space); kind != space) return run_end(after_space, kind);
    return space_end(begin);
  }

  std::size_t qwen2(std::size_t begin) const {
    if (const std::size_t bytes = contraction(begin, true); bytes > 0) return begin + bytes;
    const CodePoint first = code_point_at(text_, begin);
    const std::size_t next = begin + first.bytes;
    const std::uint8_t kind = characters_.classes(first.value) & kinds;
    if (kind == letter) return run_end(next, letter);
    if (kind == number) return next;
    if (!is_newline(text_[begin]) && next < text_.size() && kind_at(next) == letter) return run_end(next, letter);
    if (kind == other) return newlines_end(run_end(next, other));
    if (text_[begin] == ' ' && next < text_.size() && kind_at(next) == other) return newlines_end(run_end(next, other));
    const std::size_t newline = last_newline_end(begin);
    return newline > begin ? newline : space_end(begin);
  }

 private:
  std::uint8_t kind_at(std::size_t at) const { return characters_.classes(code_point_at(text_, at).value) & kinds; }

  std::size_t run_end(std::size_t at, std::uint8_t kind) const {
    while (at < text_.size()) {
      const CodePoint c = code_point_at(text_, at);
      if ((characters_.classes(c.value) & kinds) != kind) break;
      at += c.bytes;
    }
    return at;
  }

  std::size_t newlines_end(std::size_t at) const {
    while (at < text_.size() && is_newline(text_[at])) ++at;
    return at;
  }

  /// \s*[\r\n]+: the end of the last newline in the run of white space; `begin` if there is none.
  std::size_t last_newline_end(std::size_t begin) const {
    std::size_t end = begin;
    for (std::size_t at = begin; at < text_.size();) {
      const CodePoint c = code_point_at(text_, at);
      if (!characters_.is(c.value, space)) break;
      at += c.bytes;
      if (is_newline(text_[at - 1])) end = at;
    }
    return end;
  }

  /// \s+(?!\S)|\s+: white space without its last character if something follows and it is not the only one.
  std::size_t space_end(std::size_t begin) const {
    const std::size_t end = run_end(begin, space);
    if (end == text_.size()) return end;
    const std::size_t last = code_point_before(text_, end);
    return last > begin ? last : end;
  }

  /// Bytes of 's, 't, 're, 've, 'm, 'll or 'd at `begin`; 0: none. Without regard to case, ſ (U+017F) is an s.
  std::size_t contraction(std::size_t begin, bool any_case) const {
    if (text_[begin] != '\'') return 0;
    const auto at = [&](std::size_t i) {
      const char c = begin + i < text_.size() ? text_[begin + i] : '\0';
      return any_case ? lower(c) : c;
    };
    const char first = at(1), second = at(2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
    if (any_case && first == '\xC5' && second == '\xBF') return 3;
    return 0;
  }

  std::string_view text_;
  const CharacterTable& characters_;
};

} // namespace

std::optional<SplitPattern> split_pattern(std::string_view regex) {
  if (regex == gpt2_regex) return SplitPattern::gpt2;
  if (regex == qwen2_regex) return SplitPattern::qwen2;
  return std::nullopt;
}

std::size_t word_end(SplitPattern pattern, std::string_view text, std::size_t begin, const CharacterTable& characters) {
  const Scanner scanner(text, characters);
  switch (pattern) {
    case SplitPattern::gpt2:
      return scanner.gpt2(begin);
    case SplitPattern::qwen2:
      return scanner.qwen2(begin);
    case SplitPattern::none:
      break;
  }
  return text.size();
}

} // namespace mgpu::worker::text
