#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "worker/text/character_table.hpp"

namespace mgpu::worker::text {

/// A token that is found in the text before BPE: an element of "added_tokens".
struct AddedToken {
  std::string content; ///< what is searched; not empty
  std::int64_t id = 0;
  bool special = false;
  bool normalized = false;             ///< searched after normalisation, else before it
  bool lstrip = false, rstrip = false; ///< takes the white space beside it
  bool single_word = false;            ///< only where no word character stands beside it
};

/// A piece of a text: an added token, or what lies between two.
struct Piece {
  std::string_view text; ///< of an added token: ""
  std::int64_t id = -1;  ///< -1: text
};

/// Finds added tokens: at each place the longest, from left to right, as `tokenizers` does (added_vocabulary.rs, find_matches).
class AddedTokens {
 public:
  AddedTokens(std::vector<AddedToken> tokens, const CharacterTable& characters);

  bool empty() const { return tokens_.empty(); }
  /// The pieces of a text that is valid UTF-8, in order; no piece is an empty text.
  std::vector<Piece> split(std::string_view text) const;

 private:
  const AddedToken* longest_at(std::string_view text) const;
  bool is_single_word(std::string_view text, std::size_t begin, std::size_t end) const;

  std::vector<AddedToken> tokens_;      ///< sorted by content
  std::array<bool, 256> first_bytes_{}; ///< bytes with which a token begins
  const CharacterTable& characters_;
};

} // namespace mgpu::worker::text
