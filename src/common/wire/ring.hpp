#pragma once
// Shared memory between a worker (writes result blocks) and its agent (reads them and sends them by MPI).
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "common/wire/control_messages.hpp"

namespace mgpu::wire {

/// A memory file mapped by both processes.
class SharedMemory {
 public:
  /// Creates a memory file of `size` bytes (close-on-exec).
  static SharedMemory create(std::size_t size);
  /// Maps an inherited memory file.
  static SharedMemory map(int fd);
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;

  int fd() const { return fd_; }
  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  SharedMemory(int fd, std::byte* data, std::size_t size) : fd_(fd), data_(data), size_(size) {}
  int fd_;
  std::byte* data_;
  std::size_t size_;
};

/// Allocates consecutive ranges of a ring; freed in any order, reused in order. Used by the worker.
class RingAllocator {
 public:
  explicit RingAllocator(std::size_t size) : size_(size) {}

  /// A range of `bytes`, block_alignment-aligned; waits up to `timeout` for space. nullopt: none in time, or too large.
  std::optional<SharedRange> allocate(std::size_t bytes, std::chrono::milliseconds timeout);
  /// Frees a range; may run concurrently with allocate.
  void release(SharedRange range);
  std::size_t size() const { return size_; }

 private:
  std::optional<SharedRange> try_allocate(std::size_t bytes);
  std::size_t size_;
  std::size_t head_ = 0;                            ///< next byte to allocate
  std::deque<std::pair<SharedRange, bool>> ranges_; ///< in order; second: released
  std::mutex mutex_;
  std::condition_variable released_;
};

} // namespace mgpu::wire
