#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/wire/batch_result.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/ring.hpp"
#include "worker/run/batch_runner.hpp"

namespace mgpu::worker {

/// Writes results of finished batches to the ring shared with the agent and announces them, several with one write to the socket.
/// A result for which the ring has no space in time, or never, is sent through the socket. Used by the run thread alone; only
/// release() may be called by another.
class ResultSender {
 public:
  /// `largest_block`: a larger result is sent in parts.
  ResultSender(wire::Channel& channel, wire::SharedMemory& ring, std::size_t largest_block = 1ull << 30)
      : channel_(channel), ring_(ring), allocator_(ring.size()), largest_block_(largest_block) {}

  /// Adds the result of `ran`, which the device has finished; `run_s` is divided among its rows. Call flush() to announce it.
  void add(const RanBatch& ran, const std::vector<ColumnSpec>& columns, double run_s);
  /// Announces the added results; waits while the socket is full.
  void flush();
  std::size_t pending() const { return pending_.size(); }
  /// The agent has read a range.
  void release(wire::SharedRange range) { allocator_.release(range); }

  double wait_s() const { return wait_s_; }
  std::uint64_t items() const { return items_; }
  std::uint64_t failed() const { return failed_; }

 private:
  void describe_rows(const RanBatch& ran, double run_s);
  void describe_columns(const RanBatch& ran, const std::vector<ColumnSpec>& columns);
  void fill(const RanBatch& ran, const std::vector<ColumnSpec>& columns, std::byte* block);
  void add_parts(const RanBatch& ran, const std::vector<ColumnSpec>& columns, double run_s, std::size_t size);
  void send_inline(const RanBatch& ran, const std::vector<ColumnSpec>& columns, std::size_t size);
  std::optional<wire::SharedRange> room(std::size_t size);

  wire::Channel& channel_;
  wire::SharedMemory& ring_;
  wire::RingAllocator allocator_;
  std::size_t largest_block_;
  std::vector<wire::SharedRange> pending_;
  double wait_s_ = 0;
  std::uint64_t items_ = 0, failed_ = 0;

  // Kept to reuse their memory.
  wire::BatchResult result_;
  std::vector<std::uint8_t> status_, flags_;
  std::vector<float> seconds_;
  std::vector<std::vector<std::uint32_t>> counts_; ///< one list per ragged or text column
  std::vector<std::string> reasons_;
};

} // namespace mgpu::worker
