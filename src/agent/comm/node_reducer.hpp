#pragma once
// Sums over nodes. The first rank of each node takes part, for all ranks of the node.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/wire/training_messages.hpp"

namespace mgpu::agent::comm {

class NodeReducer {
 public:
  /// `node`: as LauncherFacts::node. Every rank of the world makes one, at the same time.
  explicit NodeReducer(const std::string& node);
  ~NodeReducer();
  NodeReducer(const NodeReducer&) = delete;
  NodeReducer& operator=(const NodeReducer&) = delete;

  /// Begins the sum a worker asks for, of numbers in `memory` (`size_bytes`), which must stay until it is done. Throws Error when the
  /// range is not in there, or when this rank is not the one that sums for its node.
  void begin(const wire::Reduce& request, std::byte* memory, std::size_t size_bytes);
  /// Moves on; calls `done` with the request of each sum that is complete. True while something moves, or has just moved: poll again at
  /// once. Throws Error when a sum is not complete after `timeout_s`.
  bool poll(double timeout_s, const std::function<void(const wire::Reduce&)>& done);
  bool busy() const;
  /// The workers that asked for what is under way are gone. Sums cannot be cancelled, so they are completed: nodes that have not begun one
  /// take part with zeros, and nobody is told. What begin() gets meanwhile begins after them. On every first rank of a node, equally often.
  void drop();

 private:
  struct Streams;
  void begin_now(const wire::Reduce& request, std::byte* data);
  std::string node_;
  std::unique_ptr<Streams> streams_; ///< nullptr: not this rank's task
  double moved_s_ = 0;
};

} // namespace mgpu::agent::comm
