#include "worker/text/added_tokens.hpp"

#include <algorithm>

#include "worker/text/utf8.hpp"

namespace mgpu::worker::text {

namespace {

/// Begin of the white space that ends at `end`, not before `least`.
std::size_t spaces_begin(std::string_view text, std::size_t least, std::size_t end, const CharacterTable& characters) {
  while (end > least) {
    const std::size_t before = code_point_before(text, end);
    if (!characters.is(code_point_at(text, before).value, space)) break;
    end = before;
  }
  return std::max(end, least);
}

std::size_t spaces_end(std::string_view text, std::size_t begin, const CharacterTable& characters) {
  while (begin < text.size()) {
    const CodePoint c = code_point_at(text, begin);
    if (!characters.is(c.value, space)) break;
    begin += c.bytes;
  }
  return begin;
}

} // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const CharacterTable& characters)
    : tokens_(std::move(tokens)), characters_(characters) {
  std::sort(tokens_.begin(), tokens_.end(), [](const auto& a, const auto& b) { return a.content < b.content; });
  for (const AddedToken& token : tokens_) first_bytes_[static_cast<std::uint8_t>(token.content.front())] = true;
}

/// The longest token with which `text` begins; nullptr: none. Each byte narrows the range of tokens that agree so far; of these,
/// one that ends here is the first.
const AddedToken* AddedTokens::longest_at(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto begin = tokens_.begin(), end = tokens_.end();
  for (std::size_t depth = 0; depth < text.size(); ++depth) {
    const auto byte_of = [&](const AddedToken& token) {
      return depth < token.content.size() ? static_cast<std::uint8_t>(token.content[depth]) : -1;
    };
    const int byte = static_cast<std::uint8_t>(text[depth]);
    begin = std::partition_point(begin, end, [&](const AddedToken& token) { return byte_of(token) < byte; });
    end = std::partition_point(begin, end, [&](const AddedToken& token) { return byte_of(token) == byte; });
    if (begin == end) break;
    if (begin->content.size() == depth + 1) longest = &*begin;
  }
  return longest;
}

bool AddedTokens::is_single_word(std::string_view text, std::size_t begin, std::size_t end) const {
  const auto is_word = [&](std::size_t at) { return characters_.is(code_point_at(text, at).value, word); };
  return (begin == 0 || !is_word(code_point_before(text, begin))) && (end == text.size() || !is_word(end));
}

std::vector<Piece> AddedTokens::split(std::string_view text) const {
  std::vector<Piece> pieces;
  std::size_t done = 0; // where the last token ends, its white space included
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* token = first_bytes_[static_cast<std::uint8_t>(text[at])] ? longest_at(text.substr(at)) : nullptr;
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + token->content.size();
    at = end;
    if (token->single_word && !is_single_word(text, begin, end)) continue;
    if (token->lstrip) begin = spaces_begin(text, done, begin, characters_);
    if (token->rstrip) end = spaces_end(text, end, characters_);
    if (done < begin) pieces.push_back({text.substr(done, begin - done)});
    pieces.push_back({{}, token->id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({text.substr(done)});
  return pieces;
}

} // namespace mgpu::worker::text
