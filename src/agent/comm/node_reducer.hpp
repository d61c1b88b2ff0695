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
  /// `node`: as LauncherFacts::node. Collective over all ranks.
  explicit NodeReducer(const std::string& node);
  ~NodeReducer();
  NodeReducer(const NodeReducer&) = delete;
  NodeReducer& operator=(const NodeReducer&) = delete;

  /// Starts a sum that a worker requests, over numbers in `memory` (`size_bytes`), which must stay valid until it is done. Throws
  /// Error when the range is outside of it, or when this rank does not sum for its node.
  void begin(const wire::Reduce& request, std::byte* memory, std::size_t size_bytes);
  /// Makes progress; calls `done` with the request of each complete sum. True while there is progress or was a moment ago: poll
  /// again at once. Throws Error when a sum is not complete after `timeout_s`.
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
