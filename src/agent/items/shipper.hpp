#pragma once
// --ship bytes: reads the files that rank 0 sends along, on a thread of its own, and no more of them than a budget allows.
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
  /// Files larger than `most_file_bytes` are not read. At most `budget_bytes` are under way, read and not answered for, but for a batch that
  /// is larger by itself.
  Shipper(int ranks, std::uint64_t most_file_bytes, std::uint64_t budget_bytes);
  /// Leaves a read that hangs behind.
  ~Shipper();
  Shipper(const Shipper&) = delete;
  Shipper& operator=(const Shipper&) = delete;

  /// What cannot be read here is left for the worker to open by path, which gives the same reason as without shipping.
  void add(int rank, wire::BatchRange range);
  /// What has been read since, in the order added.
  std::vector<Ready> take();
  /// The rank has no part of the batch in hand any more.
  void answered(int rank, std::uint64_t batch);
  /// The rank's worker is gone, with all that was on its way to it.
  void forget(int rank);
  std::uint64_t bytes_under_way() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace mgpu::agent
