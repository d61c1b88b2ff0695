#pragma once
// The thread on rank 0 that owns the ResultFile, so that disk waits never block the event loop.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/write/hdf5/result_file.hpp"

namespace mgpu::agent::write {

/// The encoded results of one batch, and the owner of the memory (a receive buffer, or a range of the worker's ring that is
/// released with `owner`).
struct Block {
  std::int32_t rank = 0;
  wire::View bytes; ///< an encoded wire::BatchResult
  std::shared_ptr<void> owner;
  std::uint64_t items_before = 0; ///< item i of the block is row i - items_before of the file
};

/// Results that this process has made or cut out. Blocks are not handed over in this form: decoding them again on the writer's thread costs less
/// than freeing there what the event loop has allocated.
struct Rows {
  std::int32_t rank = 0;
  wire::BatchResult result; ///< `first` is a row of the file
  std::shared_ptr<void> owner;
  std::size_t owner_bytes = 0; ///< memory that `owner` holds
};

class Writer {
 public:
  /// `commit_every`: a killed process loses at most the results of this time and of the running commit. `queue_bytes`: full()
  /// beyond this, so that rank 0 grants no more work; blocks count with the memory that they hold.
  Writer(std::unique_ptr<ResultFile> file, std::chrono::milliseconds commit_every = std::chrono::milliseconds(75),
         std::size_t queue_bytes = 64u << 20);
  ~Writer();

  void set_columns(const std::vector<ColumnSpec>& columns);
  void set_model_sha256(const std::string& sha256);
  /// Queues results. Never waits: check full() before granting more work.
  void put(Block block);
  void put(Rows rows);
  bool full() const;
  /// Fraction of time since the start in which the thread was busy, for the bottleneck.
  double busy_fraction() const;
  /// Throws the error of the thread, if it has failed (disk full, …). Cheap.
  void check() const;
  /// Writes everything queued, finishes the file. Throws Error.
  void finish(const Footer& footer);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace mgpu::agent::write
