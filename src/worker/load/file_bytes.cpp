#include "worker/load/file_bytes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "mgpu/error.hpp"

namespace mgpu::worker::load {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string reason_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return "no such file";
    case EACCES:
    case EPERM:
      return "permission denied";
    default:
      return fmt::format("cannot be read: {}", std::strerror(error_number));
  }
}

std::string reason_of(const struct stat& status, std::uint64_t limit_bytes) {
  if (S_ISDIR(status.st_mode)) return "a folder, not a file";
  if (!S_ISREG(status.st_mode)) return "not a regular file";
  if (status.st_size == 0) return "empty file";
  const auto size_bytes = static_cast<std::uint64_t>(status.st_size);
  if (size_bytes > limit_bytes) return fmt::format("{} bytes, limit {}", size_bytes, limit_bytes);
  return {};
}

std::string reason_of_shipped(const Item& item, std::uint64_t limit_bytes) {
  if (item.content.empty()) return "empty file";
  if (item.content.size() > limit_bytes) return fmt::format("{} bytes, limit {}", item.content.size(), limit_bytes);
  return {};
}

} // namespace

std::span<const std::uint8_t> contents_of(const Item& item, std::uint64_t limit_bytes, std::vector<std::uint8_t>& buffer) {
  if (item.shipped) {
    if (auto reason = reason_of_shipped(item, limit_bytes); !reason.empty()) throw Error(reason);
    return {reinterpret_cast<const std::uint8_t*>(item.content.data()), item.content.size()};
  }
  // Non-blocking, so that a FIFO among the inputs is refused below and not waited for.
  const Descriptor file(::open(item.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) throw io_error(reason_of(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error(reason_of(errno));
  if (auto reason = reason_of(status, limit_bytes); !reason.empty()) throw Error(reason);

  // Read, not mapped: a file truncated meanwhile is then a short read, not a SIGBUS. The buffer of a huge file is not kept.
  constexpr std::size_t kept_bytes = 64u << 20;
  const auto size = static_cast<std::size_t>(status.st_size);
  if (buffer.size() < size) buffer.resize(size);
  if (buffer.size() > kept_bytes && size <= kept_bytes) {
    buffer.resize(size);
    buffer.shrink_to_fit();
  }
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::read(file.get(), buffer.data() + filled, std::min<std::size_t>(size - filled, 1u << 30));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error(reason_of(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  if (filled == 0) throw Error("empty file");
  return {buffer.data(), filled};
}

std::string quoted_start(std::span<const std::uint8_t> bytes) {
  const auto start = bytes.first(std::min<std::size_t>(bytes.size(), 16));
  const bool printable = std::all_of(start.begin(), start.end(), [](std::uint8_t c) { return c >= 0x20 && c < 0x7f; });
  if (printable) return fmt::format("starts with \"{}\"", std::string(start.begin(), start.end()));
  return fmt::format("starts with bytes {:02x}", fmt::join(start, " "));
}

void require_readable(const Item& item, std::uint64_t limit_bytes) {
  if (item.shipped) {
    if (auto reason = reason_of_shipped(item, limit_bytes); !reason.empty()) throw Error(reason);
    return;
  }
  struct stat status {};
  if (::stat(item.path.c_str(), &status) != 0) throw io_error(reason_of(errno));
  if (auto reason = reason_of(status, limit_bytes); !reason.empty()) throw Error(reason);
  if (::access(item.path.c_str(), R_OK) != 0) throw io_error(reason_of(errno));
}

} // namespace mgpu::worker::load
