#include "agent/supervisor/bad_devices.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "common/support/text.hpp"

namespace mgpu::agent {

namespace {

/// The file's text if it is small, a regular file and this user's own: /tmp is writable for everybody.
std::string read_own(const std::string& path) {
  constexpr off_t most_bytes = 1 << 20;
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return {};
  struct stat facts {};
  std::string text;
  if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_uid == ::geteuid() && facts.st_size <= most_bytes) {
    text.resize(static_cast<std::size_t>(facts.st_size));
    if (::read(fd, text.data(), text.size()) != facts.st_size) text.clear();
  }
  ::close(fd);
  return text;
}

} // namespace

std::string BadDevices::default_path() {
  if (const char* named = std::getenv("MGPU_BAD_DEVICES"); named != nullptr) return named;
  return fmt::format("/tmp/mgpu-bad-devices-{}", ::geteuid());
}

std::vector<BadDevice> BadDevices::read(double now_unix_s) const {
  std::vector<BadDevice> devices;
  const std::string text = read_own(path_);
  for (const std::string_view line : split_trimmed(text, '\n')) {
    const std::size_t first = line.find(' '), second = line.find(' ', first + 1);
    BadDevice device;
    if (second == std::string_view::npos || !parse_number(line.substr(0, first), device.until_unix_s)) continue;
    device.uuid = line.substr(first + 1, second - first - 1);
    device.reason = line.substr(second + 1);
    if (device.until_unix_s > now_unix_s) devices.push_back(std::move(device));
  }
  return devices;
}

bool BadDevices::add(const BadDevice& device, double now_unix_s) const {
  std::vector<BadDevice> devices = read(now_unix_s);
  std::erase_if(devices, [&](const BadDevice& each) { return each.uuid == device.uuid; });
  devices.push_back(device);
  std::string text;
  for (const BadDevice& each : devices) {
    std::string reason = each.reason;
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    text += fmt::format("{:.0f} {} {}\n", each.until_unix_s, each.uuid, reason);
  }
  // Replaced by rename: a reader sees the old list or the new one.
  const std::string aside = fmt::format("{}.{}", path_, ::getpid());
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool closed = ::close(fd) == 0;
  if (written && closed && ::rename(aside.c_str(), path_.c_str()) == 0) return true;
  ::unlink(aside.c_str());
  return false;
}

} // namespace mgpu::agent
