#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "worker/text/character_table.hpp"

namespace mgpu::worker::text {

/// A regular expression that cuts text into words before BPE, written out by hand.
enum class SplitPattern : std::uint8_t {
  none,  ///< no cut
  gpt2,  ///< GPT-2, Whisper
  qwen2, ///< Qwen2, Qwen2.5, Qwen3
};

/// The pattern that is spelled like this; nullopt: a pattern that is not supported.
std::optional<SplitPattern> split_pattern(std::string_view regex);

/// End of the word that begins at byte `begin` < text.size() of a text that is valid UTF-8. The words cover the text.
std::size_t word_end(SplitPattern pattern, std::string_view text, std::size_t begin, const CharacterTable& characters);

} // namespace mgpu::worker::text
