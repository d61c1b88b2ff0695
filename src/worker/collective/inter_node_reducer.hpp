#pragma once
// Sums between nodes: the agent sums ranges of the node's shared memory over all nodes.
#include <cstdint>
#include <string_view>

namespace mgpu::worker::collective {

enum class NumberType : std::uint8_t { float32 = 0, float64 = 1 };

/// Sums of one stream start in the same order on every node; streams are independent.
enum class Stream : std::uint8_t { gradients = 0, numbers = 1 };

struct InterNodeSum {
  std::uint64_t id = 0; ///< unique for every sum of this node
  Stream stream = Stream::gradients;
  std::uint64_t offset = 0; ///< bytes from the start of the shared memory
  std::uint64_t count = 0;  ///< elements
  NumberType type = NumberType::float32;
};

/// Used by the node's first rank. From any thread.
class InterNodeReducer {
 public:
  virtual ~InterNodeReducer() = default;
  /// Starts a sum over the nodes, in place.
  virtual void begin(const InterNodeSum& sum) = 0;
  /// Waits for the sum. Throws Error after `timeout_s`, naming `operation`, or with the reason given to abort().
  virtual void wait(std::uint64_t id, double timeout_s, std::string_view operation) = 0;
  /// Makes waiting and later calls throw `reason`.
  virtual void abort(std::string_view reason) = 0;
};

} // namespace mgpu::worker::collective
