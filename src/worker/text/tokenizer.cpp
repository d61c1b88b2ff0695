#include "mgpu/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mgpu/error.hpp"
#include "worker/text/byte_alphabet.hpp"
#include "worker/text/nfc.hpp"
#include "worker/text/tokenizer_spec.hpp"
#include "worker/text/utf8.hpp"

namespace mgpu {

using namespace worker::text;

namespace {

constexpr std::size_t largest_text = 256'000'000; // BPE of one word takes some 50 bytes for each of its own

std::vector<AddedToken> only(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> result;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(result),
               [&](const AddedToken& token) { return token.normalized == normalized; });
  return result;
}

} // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec&& spec);

  void encode_text(std::string_view text, std::vector<std::int64_t>& ids) const;
  void encode_words(std::string_view text, std::vector<std::int64_t>& ids) const;

  const CharacterTable& characters = CharacterTable::get();
  bool normalizes, add_prefix_space;
  SplitPattern pattern;
  std::vector<std::int64_t> prefix, suffix;
  Bpe bpe;
  AddedTokens raw_tokens, normalized_tokens; ///< searched before and after normalisation
  std::vector<std::string> texts;            ///< [id] what decode writes; "": no token has this id
  std::vector<bool> special;                 ///< [id]
};

Tokenizer::Impl::Impl(TokenizerSpec&& spec)
    : normalizes(spec.nfc),
      add_prefix_space(spec.add_prefix_space),
      pattern(spec.pattern),
      prefix(std::move(spec.prefix)),
      suffix(std::move(spec.suffix)),
      bpe(spec.model),
      raw_tokens(only(spec.added_tokens, false), characters),
      normalized_tokens(only(spec.added_tokens, true), characters),
      texts(std::move(spec.model.bytes)) {
  std::int64_t size = static_cast<std::int64_t>(texts.size());
  for (const AddedToken& token : spec.added_tokens) size = std::max(size, token.id + 1);
  texts.resize(static_cast<std::size_t>(size));
  special.resize(static_cast<std::size_t>(size));
  for (const AddedToken& token : spec.added_tokens) {
    // The decoder takes an added token for one of bytes where its characters allow it, as `tokenizers` does.
    texts[static_cast<std::size_t>(token.id)] = bytes_of(token.content).value_or(token.content);
    special[static_cast<std::size_t>(token.id)] = token.special;
  }
}

/// A piece between added tokens that are searched before normalisation.
void Tokenizer::Impl::encode_text(std::string_view text, std::vector<std::int64_t>& ids) const {
  std::string buffer;
  if (normalizes) text = nfc(text, characters, buffer);
  if (normalized_tokens.empty()) return encode_words(text, ids);
  for (const Piece& piece : normalized_tokens.split(text)) {
    if (piece.id >= 0)
      ids.push_back(piece.id);
    else
      encode_words(piece.text, ids);
  }
}

void Tokenizer::Impl::encode_words(std::string_view text, std::vector<std::int64_t>& ids) const {
  std::string prefixed;
  if (add_prefix_space && text.front() != ' ') text = prefixed.append(" ").append(text);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(pattern, text, begin, characters);
    bpe.encode(text.substr(begin, end - begin), ids);
    begin = end;
  }
}

Tokenizer Tokenizer::open(const std::string& path) {
  return Tokenizer(std::make_shared<const Impl>(read_tokenizer(path)));
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (text.size() > largest_text) throw Error(fmt::format("a text of {} bytes, limit {}", text.size(), largest_text));
  if (const std::size_t bad = first_invalid(text); bad != std::string_view::npos)
    throw Error(fmt::format("not UTF-8 at byte {}", bad));
  std::vector<std::int64_t> ids;
  if (add_special_tokens) ids = impl_->prefix;
  for (const Piece& piece : impl_->raw_tokens.split(text)) {
    if (piece.id >= 0)
      ids.push_back(piece.id);
    else
      impl_->encode_text(piece.text, ids);
  }
  if (add_special_tokens) ids.insert(ids.end(), impl_->suffix.begin(), impl_->suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= size() || (skip_special_tokens && impl_->special[static_cast<std::size_t>(id)])) continue;
    bytes += impl_->texts[static_cast<std::size_t>(id)];
  }
  return replace_invalid(std::move(bytes));
}

std::optional<std::int64_t> Tokenizer::id(std::string_view text) const {
  if (text.empty()) return std::nullopt;
  const auto found = std::find(impl_->texts.begin(), impl_->texts.end(), text);
  if (found == impl_->texts.end()) return std::nullopt;
  return found - impl_->texts.begin();
}

std::int64_t Tokenizer::size() const {
  return static_cast<std::int64_t>(impl_->texts.size());
}

} // namespace mgpu
