#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "worker/text/added_tokens.hpp"
#include "worker/text/bpe.hpp"
#include "worker/text/split.hpp"

namespace mgpu::worker::text {

/// Content of a tokenizer.json, checked: what encode and decode need.
struct TokenizerSpec {
  BpeSpec model;
  std::vector<AddedToken> added_tokens;
  bool nfc = false;
  bool add_prefix_space = false; ///< a text, and what follows an added token, begins with a space
  SplitPattern pattern = SplitPattern::none;
  std::vector<std::int64_t> prefix, suffix; ///< the special tokens that the template puts around a text
};

/// Reads a tokenizer.json. Throws usage_error with the file and the key for what is not supported (docs/tokenizer.md).
TokenizerSpec read_tokenizer(const std::string& path);

} // namespace mgpu::worker::text
