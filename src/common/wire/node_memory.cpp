#include "common/wire/node_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "mgpu/error.hpp"

namespace mgpu::wire {

namespace {

std::byte* map(int fd, std::size_t size_bytes, const std::string& path) {
  const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* address = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) throw Error(fmt::format("mmap of {} bytes of {}: {}", size_bytes, path, std::strerror(errno)));
  return static_cast<std::byte*>(address);
}

/// The lock of one byte per holder, tied to the open file: the kernel releases it when the process ends, even by a signal.
struct flock holder_lock(int holder) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = holder;
  lock.l_len = 1;
  return lock;
}

} // namespace

std::string node_memory_path(const std::string& token, int node) {
  return fmt::format("/dev/shm/mgpu-{}-{}", token, node);
}

int unlink_node_memory(const std::string& token, int node) {
  const std::string begin = fmt::format("mgpu-{}", token);
  const std::string end = fmt::format("-{}", node);
  int removed = 0;
  std::error_code error; // an unreadable folder has no memory of this program
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(begin) && name.ends_with(end) && ::unlink(entry.path().c_str()) == 0) ++removed;
  }
  return removed;
}

NodeMemory NodeMemory::create(const std::string& token, int node, std::size_t size_bytes) {
  const std::string path = node_memory_path(token, node);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) throw Error(fmt::format("creating {}: {}", path, std::strerror(errno)));
  NodeMemory memory(fd, nullptr, size_bytes, path); // from now on the destructor cleans up
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) < 0)
    throw Error(fmt::format("{} of {} bytes: {}", path, size_bytes, std::strerror(errno)));
  memory.data_ = map(fd, size_bytes, path);
  return memory;
}

NodeMemory NodeMemory::open(const std::string& token, int node) {
  const std::string path = node_memory_path(token, node);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 && errno != ENOENT) throw Error(fmt::format("opening {}: {}", path, std::strerror(errno)));
  NodeMemory memory(fd, nullptr, 0, "");
  struct stat facts {};
  if (fd < 0 || fstat(fd, &facts) < 0 || facts.st_size == 0) return memory;
  memory.size_bytes_ = static_cast<std::size_t>(facts.st_size);
  memory.data_ = map(fd, memory.size_bytes_, path);
  return memory;
}

NodeMemory NodeMemory::anonymous(std::size_t size_bytes) {
  std::byte* data = map(-1, size_bytes, "anonymous memory");
  madvise(data, size_bytes, MADV_HUGEPAGE); // only advice: huge pages are not needed
  return {-1, data, size_bytes, ""};
}

NodeMemory::NodeMemory(NodeMemory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      path_(std::exchange(other.path_, "")) {}

NodeMemory::~NodeMemory() {
  unlink();
  if (data_ != nullptr) munmap(data_, size_bytes_);
  if (fd_ >= 0) close(fd_);
}

void NodeMemory::reserve(std::size_t offset, std::size_t size_bytes) const {
  if (fd_ < 0 || size_bytes == 0) return;
  int code = EINTR;
  while (code == EINTR) code = posix_fallocate(fd_, static_cast<off_t>(offset), static_cast<off_t>(size_bytes));
  if (code == 0) return;
  struct statvfs facts {};
  fstatvfs(fd_, &facts);
  throw Error(fmt::format("/dev/shm has no room for {} MB of this rank ({} MB are free): {}", size_bytes >> 20,
                          (facts.f_bavail * facts.f_frsize) >> 20, std::strerror(code)));
}

void NodeMemory::hold(int holder) const {
  if (fd_ < 0) return;
  struct flock lock = holder_lock(holder);
  if (fcntl(fd_, F_OFD_SETLK, &lock) < 0) throw Error(fmt::format("locking shared memory: {}", std::strerror(errno)));
}

bool NodeMemory::held(int holder) const {
  if (fd_ < 0) return true;
  struct flock lock = holder_lock(holder);
  return fcntl(fd_, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

void NodeMemory::unlink() noexcept {
  if (path_.empty()) return; // no write in this case: ranks that are threads share one object
  ::unlink(path_.c_str());
  path_.clear();
}

} // namespace mgpu::wire
