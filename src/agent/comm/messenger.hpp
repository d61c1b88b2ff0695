#pragma once
// Messages between rank 0 and the other ranks: non-blocking, point to point. No collective calls, so a lost rank blocks no other.
// Messages to a dead rank are dropped silently; take_dead() reports the rank.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/wire/message.hpp"

namespace mgpu::agent::comm {

/// Called for every frame that has arrived. `payload` is valid while `owner` is held.
using OnFrame = std::function<void(int rank, wire::Type, wire::View payload, const std::shared_ptr<void>& owner)>;

class Messenger {
 public:
  virtual ~Messenger() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Queues a frame for `rank`. Small frames are sent together; call flush() at the end of each round.
  virtual void post(int rank, wire::Type type, wire::View payload = {}) = 0;
  /// As post, without copying a large payload: `owner` is held until the bytes are sent.
  virtual void post(int rank, wire::Type type, wire::View payload, std::shared_ptr<void> owner) = 0;
  template <typename Message>
  void post_message(int rank, wire::Type type, const Message& message) {
    wire::Buffer bytes;
    wire::encode(message, bytes);
    post(rank, type, wire::View(bytes));
  }
  /// Sends all queued frames.
  virtual void flush() = 0;
  /// Receives arrived frames and completes sends. Returns true if anything happened.
  virtual bool poll(const OnFrame& handle) = 0;
  /// True if no frame to `rank` is queued or being sent.
  virtual bool idle(int rank) const = 0;
  /// True if no frame at all is queued or being sent.
  virtual bool idle() const = 0;
  /// Ranks whose process died, as reported by MPI; each is returned once.
  virtual std::vector<int> take_dead() = 0;
};

} // namespace mgpu::agent::comm
