#pragma once
// Ranks talking to each other: packets between rank 0 and the others, non-blocking, point to point. No collective, so a lost
// rank stops nobody: what is posted to a dead one is dropped without a word, and take_dead() names it.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/wire/message.hpp"

namespace mgpu::agent::comm {

/// Called for every frame that has arrived. `owner` keeps `payload` alive as long as somebody holds it.
using OnFrame = std::function<void(int rank, wire::Type, wire::View payload, const std::shared_ptr<void>& owner)>;

class Messenger {
 public:
  virtual ~Messenger() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Queues a frame for `rank`. Small frames travel together; call flush() when a round of work is done.
  virtual void post(int rank, wire::Type type, wire::View payload = {}) = 0;
  /// As post, without copying: `owner` is held until the bytes have left.
  virtual void post(int rank, wire::Type type, wire::View payload, std::shared_ptr<void> owner) = 0;
  template <typename Message>
  void post_message(int rank, wire::Type type, const Message& message) {
    wire::Buffer bytes;
    wire::encode(message, bytes);
    post(rank, type, wire::View(bytes));
  }
  /// Hands what is queued to the network.
  virtual void flush() = 0;
  /// Receives what has arrived and completes what has left. Returns true if anything happened.
  virtual bool poll(const OnFrame& handle) = 0;
  /// True if nothing is queued or under way to `rank`.
  virtual bool idle(int rank) const = 0;
  /// True if nothing is queued or under way at all.
  virtual bool idle() const = 0;
  /// Ranks whose process died, as far as MPI can tell; each is named once.
  virtual std::vector<int> take_dead() = 0;
};

} // namespace mgpu::agent::comm
