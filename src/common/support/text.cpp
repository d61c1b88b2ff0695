#include "common/support/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mgpu {

namespace {

/// Length of the UTF-8 sequence at `at`; 0 if there is none.
std::size_t utf8_length(std::string_view bytes, std::size_t at) {
  const auto lead = static_cast<unsigned char>(bytes[at]);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0 || at + length > bytes.size()) return 0;
  for (std::size_t next = 1; next < length; ++next)
    if ((static_cast<unsigned char>(bytes[at + next]) & 0xC0) != 0x80) return 0;
  return length;
}

/// Number of characters, which most terminals show in as many columns for Latin text.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

} // namespace

namespace {

/// Appends one character, or one byte that is not part of one, and returns its length.
std::size_t append_printable(std::string& out, std::string_view bytes, std::size_t at) {
  const auto byte = static_cast<unsigned char>(bytes[at]);
  const std::size_t length = utf8_length(bytes, at);
  const bool c1 = length == 2 && byte == 0xC2 && static_cast<unsigned char>(bytes[at + 1]) < 0xA0;
  if (byte == '\n') {
    out += "\\n";
  } else if (length == 0 || byte < 0x20 || byte == 0x7f || c1) {
    for (std::size_t next = at; next < at + std::max<std::size_t>(length, 1); ++next)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[next]));
  } else {
    out += bytes.substr(at, length);
  }
  return std::max<std::size_t>(length, 1);
}

} // namespace

std::string printable(std::string_view bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) at += append_printable(out, bytes, at);
  return out;
}

std::string show_path(std::string_view bytes) {
  std::string out = "\"";
  for (std::size_t at = 0; at < bytes.size();) {
    if (bytes[at] == '"' || bytes[at] == '\\') out += '\\';
    at += append_printable(out, bytes, at);
  }
  return out + '"';
}

std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right_aligned) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], width(row[column]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line = " ";
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - width(row[column]), ' ');
      const bool right = column < right_aligned.size() && right_aligned[column];
      line += ' ' + (right ? padding + row[column] : row[column] + padding) + ' ';
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first, last - first + 1);
}

std::vector<std::string_view> split_trimmed(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  if (trimmed(text).empty()) return parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string listed(const std::vector<std::string>& names, std::string_view what) {
  constexpr std::size_t shown = 8;
  const std::vector<std::string> first(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(shown, names.size())));
  return fmt::format("{}{} ({} {})", fmt::join(first, ", "), names.size() > shown ? ", …" : "", names.size(), what);
}

} // namespace mgpu
