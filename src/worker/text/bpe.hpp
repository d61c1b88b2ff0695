#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/text/merge_table.hpp"
#include "worker/text/word_table.hpp"

namespace mgpu::worker::text {

/// "model" of a tokenizer.json.
struct BpeSpec {
  std::vector<std::string> bytes;               ///< [id] what a token stands for; "": no token of the model has this id
  std::vector<bool> of_bytes;                   ///< [id] false: the token's spelling has characters that stand for no byte
  std::array<std::uint32_t, 256> byte_tokens{}; ///< [byte] token id
  std::vector<Merge> merges;                    ///< in the order of their rank
  bool ignore_merges = false;                   ///< a word that is a token is this token, whatever the merges make of it
};

/// Byte pair encoding of words: of all neighbours that a merge names, those of the lowest rank are merged first, from left to
/// right.
class Bpe {
 public:
  explicit Bpe(const BpeSpec& spec);
  Bpe(const Bpe&) = delete;
  Bpe& operator=(const Bpe&) = delete;

  /// Appends the token ids of a word, at most UINT32_MAX bytes. Time grows as n log n. Thread-safe.
  void encode(std::string_view word, std::vector<std::int64_t>& ids) const;

 private:
  void merge(std::string_view word, std::vector<std::int64_t>& ids) const;
  void merge_short(std::string_view word, std::vector<std::int64_t>& ids) const;
  void merge_long(std::string_view word, std::vector<std::int64_t>& ids) const;

  std::array<std::uint32_t, 256> byte_tokens_;
  MergeTable merges_;
  std::vector<std::string> bytes_; ///< [id]
  WordTable whole_words_;          ///< words that are one token: most of a text, without a merge
};

} // namespace mgpu::worker::text
