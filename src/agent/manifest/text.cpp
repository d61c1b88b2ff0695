#include "agent/manifest/text.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::manifest {

namespace {
constexpr std::size_t read_bytes = 1u << 20;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::size_t longest_shown_bytes = 200;
} // namespace

std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return at < text.size() ? 1 : 0;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!follows(1) || !follows(2)) return 0;
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0, surrogate = lead == 0xED && byte(1) > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    const bool overlong = lead == 0xF0 && byte(1) < 0x90, too_large = lead == 0xF4 && byte(1) > 0x8F;
    return overlong || too_large ? 0 : 4;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string shown(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && end < longest_shown_bytes) end += std::max<std::size_t>(utf8_length(text, end), 1);
  return fmt::format("'{}{}'", printable(text.substr(0, end)), end < text.size() ? "…" : "");
}

LineReader::LineReader(const std::string& path) : name_(path == "-" ? "standard input" : shown(path)) {
  fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) throw usage_error(fmt::format("input {}: cannot be opened: {}", name_, std::strerror(errno)));
  struct stat facts {};
  if (::fstat(fd_, &facts) == 0 && S_ISREG(facts.st_mode)) size_bytes_ = static_cast<std::uint64_t>(facts.st_size);
  fill();
  if (std::string_view(buffer_.data(), end_).starts_with(byte_order_mark)) begin_ = byte_order_mark.size();
}

LineReader::~LineReader() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
}

void LineReader::fill() {
  if (begin_ > 0) { // keep only the unfinished line
    buffer_.erase(0, begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ > longest_line_bytes)
    throw usage_error(fmt::format("input {}: line {} is longer than 64 MiB: not a list or table", name_, line_number_ + 1));
  buffer_.resize(end_ + read_bytes);
  while (end_ < buffer_.size()) {
    const ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw usage_error(fmt::format("input {}: cannot be read: {}", name_, std::strerror(errno)));
    if (got == 0) {
      at_end_ = true;
      break;
    }
    end_ += static_cast<std::size_t>(got);
  }
}

bool LineReader::next(std::string_view& line) {
  const char* end = nullptr;
  for (std::size_t searched = 0;;) {
    end = static_cast<const char*>(std::memchr(buffer_.data() + begin_ + searched, '\n', end_ - begin_ - searched));
    if (end != nullptr || at_end_) break;
    searched = end_ - begin_;
    fill();
  }
  if (end == nullptr && begin_ == end_) return false;
  const char* begin = buffer_.data() + begin_;
  if (end == nullptr) {
    line = {begin, end_ - begin_};
    begin_ = end_;
  } else {
    line = {begin, static_cast<std::size_t>(end - begin)};
    begin_ += line.size() + 1;
  }
  ++line_number_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (std::memchr(line.data(), 0, line.size()) != nullptr)
    throw usage_error(fmt::format("input {}: line {} has a NUL byte: not a text list or table", name_, line_number_));
  return true;
}

} // namespace mgpu::agent::manifest
