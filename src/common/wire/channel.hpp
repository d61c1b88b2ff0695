#pragma once
// Frames over a stream socket between an agent and its worker.
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

#include "common/wire/bytes.hpp"
#include "common/wire/message.hpp"

namespace mgpu::wire {

/// Owner of one end of a socket pair. Any thread may send; one thread may receive.
class Channel {
 public:
  explicit Channel(int fd);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Two connected ends (close-on-exec).
  static std::pair<int, int> make_pair();

  int fd() const { return fd_; }

  /// Queues a frame; flush() writes it. Never blocks.
  void post(Type type, View payload = {});
  template <typename Message>
  void post(Type type, const Message& message) {
    Buffer bytes;
    encode(message, bytes);
    post(type, View(bytes));
  }
  /// Writes as many queued bytes as the socket takes. True if nothing is left.
  bool flush();
  /// Queues a frame and waits until all frames are written; throws Error if the peer is gone.
  void send(Type type, View payload = {});
  template <typename Message>
  void send(Type type, const Message& message) {
    Buffer bytes;
    encode(message, bytes);
    send(type, View(bytes));
  }

  /// Reads the available bytes and calls `handle` for each complete frame; the view is valid during the call only. Returns the
  /// number of frames. After the peer has closed, closed() is true. Throws Error on a malformed frame.
  std::size_t receive(const std::function<void(Type, View)>& handle);
  bool closed() const { return closed_; }

  /// Waits until the socket is readable (or writable, when frames are queued), at most `timeout`. False: timeout.
  bool wait(std::chrono::microseconds timeout) const;

 private:
  bool flush_locked();
  int fd_;
  bool closed_ = false;
  Buffer in_;
  std::size_t in_begin_ = 0, in_end_ = 0;
  mutable std::mutex out_mutex_;
  std::deque<Buffer> out_;
  std::size_t out_at_ = 0;
};

} // namespace mgpu::wire
