#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// A byte-level BPE tokenizer, as Hugging Face's `tokenizers` writes it: encodes and decodes as `tokenizers` 0.23 does. For the
/// worker's side of a job. What of a tokenizer.json is supported: docs/tokenizer.md. Thread-safe; it holds no cache, and copies
/// share one vocabulary.
class Tokenizer {
 public:
  /// Reads a tokenizer.json. Throws usage_error with the file and the key for a tokenizer of another kind (model, normalizer,
  /// pre-tokenizer, pattern, post-processor, decoder), for contradictory content, and for a file that is not valid JSON.
  static Tokenizer open(const std::string& path);

  /// Token ids of a text [n]. `add_special_tokens`: with the special tokens of the file's template, if it has one. Added tokens
  /// that occur in the text become their ids in any case. Throws Error for a text that is not UTF-8 ("not UTF-8 at byte 17") or
  /// above 256 MB.
  std::vector<std::int64_t> encode(std::string_view text, bool add_special_tokens = true) const;

  /// Text of token ids. `skip_special_tokens`: without added tokens that are special. An id that is in no vocabulary adds
  /// nothing, as in `tokenizers` (models pad their vocabularies). Bytes that are not UTF-8, such as the first half of a
  /// character, become U+FFFD.
  std::string decode(std::span<const std::int64_t> ids, bool skip_special_tokens = true) const;

  /// Id of the token with this text ("<|im_end|>", " the"); nullopt: there is none. Searches the whole vocabulary: call it in
  /// `open`.
  std::optional<std::int64_t> id(std::string_view text) const;

  /// Largest id + 1, added tokens included.
  std::int64_t size() const;

 private:
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

} // namespace mgpu
