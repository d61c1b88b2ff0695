#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mgpu::worker::text {

/// The visible character that stands for a byte in a byte-level vocabulary: itself for visible Latin-1, else U+0100 and above in
/// order. Source: github.com/openai/gpt-2, src/encoder.py (bytes_to_unicode).
char32_t character_of(std::uint8_t byte);

/// The bytes that a token's spelling stands for; nullopt if it has a character of no byte. `spelling` is valid UTF-8.
std::optional<std::string> bytes_of(std::string_view spelling);

} // namespace mgpu::worker::text
