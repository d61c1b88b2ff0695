#pragma once
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// Text from files and models for a terminal: control characters (also those of ISO 6429 in UTF-8, U+0080 to U+009F), which could move
/// the cursor or set the title, and bytes that are not UTF-8 become \n, \xHH.
std::string printable(std::string_view bytes);

/// A path for messages: in quotes, and printable.
std::string show_path(std::string_view bytes);

/// Columns padded to equal width, two spaces between them; the first row is the heading. Numbers (by `right_aligned`) to the right.
std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right_aligned);

/// The text without blanks at both ends.
std::string_view trimmed(std::string_view text);
/// The parts between the separators, without blanks around them; empty for a blank text.
std::vector<std::string_view> split_trimmed(std::string_view text, char separator);
/// "1 rank", "2 ranks".
std::string counted(std::uint64_t count, std::string_view noun);
/// "cat, dog, … (10 classes)": the first few of many names.
std::string listed(const std::vector<std::string>& names, std::string_view what);
/// True when the whole text is a number of this type.
template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size();
}

} // namespace mgpu
