#pragma once
// Text of lists and tables: bytes, usually but not always UTF-8.
#include <cstdint>
#include <string>
#include <string_view>

namespace mgpu::agent::manifest {

/// Length of the valid UTF-8 sequence that begins at `at` (1 to 4); 0 if the byte there begins none.
std::size_t utf8_length(std::string_view text, std::size_t at);
bool is_utf8(std::string_view text);

/// `text` in quotes, printable, cut at 200 bytes: fits into a one-line message.
std::string shown(std::string_view text);

/// "a, b, c" of any range of strings.
template <typename Range>
std::string listed(const Range& names) {
  std::string out;
  for (const auto& name : names) out.append(out.empty() ? "" : ", ").append(name);
  return out;
}

/// Lines of a file of any size, in a buffer of bounded size.
class LineReader {
 public:
  static constexpr std::size_t longest_line_bytes = 64u << 20;

  /// Opens `path`, or standard input for "-". Throws usage_error.
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its end (LF, or CRLF); false at the end. The view is valid until the next call. A UTF-8 byte order
  /// mark at the start is skipped. Throws usage_error on a read error, a NUL byte or an overlong line.
  bool next(std::string_view& line);
  /// Number of the line that next() gave last, from 1.
  std::uint64_t line_number() const { return line_number_; }
  /// Size of the file, 0 when unknown.
  std::uint64_t size_bytes() const { return size_bytes_; }
  const std::string& name() const { return name_; }

 private:
  void fill();
  std::string name_;
  int fd_ = -1;
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool at_end_ = false;
  std::uint64_t line_number_ = 0, size_bytes_ = 0;
};

} // namespace mgpu::agent::manifest
