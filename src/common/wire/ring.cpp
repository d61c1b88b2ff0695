#include "common/wire/ring.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/wire/batch_result.hpp"

namespace mgpu::wire {

namespace {

std::byte* map_file(int fd, std::size_t size) {
  void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) throw Error(fmt::format("mmap of {} bytes of shared memory: {}", size, std::strerror(errno)));
  return static_cast<std::byte*>(address);
}

} // namespace

SharedMemory SharedMemory::create(std::size_t size) {
  const int fd = memfd_create("mgpu-ring", MFD_CLOEXEC);
  if (fd < 0) throw Error(fmt::format("memfd_create: {}", std::strerror(errno)));
  if (ftruncate(fd, static_cast<off_t>(size)) < 0) {
    const Error error(fmt::format("ftruncate of shared memory: {}", std::strerror(errno)));
    close(fd);
    throw error;
  }
  return {fd, map_file(fd, size), size};
}

SharedMemory SharedMemory::map(int fd) {
  struct stat facts {};
  if (fstat(fd, &facts) < 0) throw Error(fmt::format("fstat of shared memory: {}", std::strerror(errno)));
  const auto size = static_cast<std::size_t>(facts.st_size);
  return {fd, map_file(fd, size), size};
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

std::optional<SharedRange> RingAllocator::try_allocate(std::size_t bytes) {
  if (ranges_.empty()) head_ = 0;
  const std::size_t tail = ranges_.empty() ? 0 : ranges_.front().first.offset;
  // In use: [tail, head), or, after wrapping, [tail, end) and [0, head). head == tail means full unless nothing is in use.
  const bool wrapped = !ranges_.empty() && head_ <= tail;
  std::size_t offset = head_;
  if (!wrapped && size_ - head_ < bytes) {
    if (ranges_.empty() || tail < bytes) return std::nullopt;
    offset = 0;
  } else if (wrapped && tail - head_ < bytes) {
    return std::nullopt;
  }
  const SharedRange range{offset, bytes};
  head_ = offset + bytes;
  ranges_.emplace_back(range, false);
  return range;
}

std::optional<SharedRange> RingAllocator::allocate(std::size_t bytes, std::chrono::milliseconds timeout) {
  bytes = (std::max<std::size_t>(bytes, 1) + block_alignment - 1) / block_alignment * block_alignment;
  if (bytes > size_) return std::nullopt;
  std::unique_lock lock(mutex_);
  std::optional<SharedRange> range;
  released_.wait_for(lock, timeout, [&] { return (range = try_allocate(bytes)).has_value(); });
  return range;
}

void RingAllocator::release(SharedRange range) {
  {
    const std::lock_guard lock(mutex_);
    // Nearly always the first: agents release in order.
    for (auto& [held, released] : ranges_)
      if (held.offset == range.offset && !released) {
        released = true;
        break;
      }
    while (!ranges_.empty() && ranges_.front().second) ranges_.pop_front();
  }
  released_.notify_all();
}

} // namespace mgpu::wire
