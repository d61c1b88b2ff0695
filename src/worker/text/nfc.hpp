#pragma once
#include <string>
#include <string_view>

#include "worker/text/character_table.hpp"

namespace mgpu::worker::text {

/// Unicode's Normalization Form C of a text that is valid UTF-8: the text itself if it has this form already, else written to
/// `buffer`. The result is valid until `buffer` changes. Time grows as n log n for any text.
std::string_view nfc(std::string_view text, const CharacterTable& characters, std::string& buffer);

} // namespace mgpu::worker::text
