#pragma once
// --ship bytes: reads the files that rank 0 sends, on its own thread and within a budget of bytes.
#include <cstdint>
#include <memory>
#include <vector>

#include "common/wire/items_messages.hpp"

namespace mgpu::agent {

class Shipper {
 public:
  struct Ready {
    int rank = 0;
    wire::BatchRange range;
  };
  /// Files larger than `most_file_bytes` are not read. Reading pauses while `budget_bytes` or more are in flight (read and not
  /// answered); the last batch read may exceed the budget.
  Shipper(int ranks, std::uint64_t most_file_bytes, std::uint64_t budget_bytes);
  /// Abandons a read that hangs.
  ~Shipper();
  Shipper(const Shipper&) = delete;
  Shipper& operator=(const Shipper&) = delete;

  /// Queues a batch. Files that cannot be read here are left to the worker, which reports the same reason as without shipping.
  void add(int rank, wire::BatchRange range);
  /// The batches read since the last call, in the order added.
  std::vector<Ready> take();
  /// The rank holds no part of the batch any more.
  void answered(int rank, std::uint64_t batch);
  /// The rank's worker has ended: drops all batches for it.
  void forget(int rank);
  std::uint64_t bytes_under_way() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace mgpu::agent
