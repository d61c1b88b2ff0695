#include "agent/items/input_probe.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace mgpu::agent {

struct InputProbe::Try {
  explicit Try(std::size_t paths) : left(paths) {}
  std::atomic<std::size_t> left;
  std::atomic<bool> read_one{false};
};

namespace {

bool can_read(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  struct stat facts {};
  char byte = 0;
  const bool good = ::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && ::pread(fd, &byte, 1, 0) >= 0;
  ::close(fd);
  return good;
}

} // namespace

void InputProbe::ask(const std::vector<std::string>& paths, double now) {
  if (try_ && try_->left > 0 && !try_->read_one) return;
  try_ = std::make_shared<Try>(paths.size());
  asked_s_ = now;
  for (const std::string& path : paths)
    std::thread([mine = try_, path] {
      if (can_read(path)) mine->read_one = true;
      --mine->left;
    }).detach();
}

bool InputProbe::hangs(double now, double least_s) const {
  return try_ && try_->left > 0 && !try_->read_one && now - asked_s_ > least_s;
}

bool InputProbe::read_one() const {
  return try_ && try_->read_one;
}

} // namespace mgpu::agent
