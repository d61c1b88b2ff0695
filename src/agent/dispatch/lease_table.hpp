#pragma once
// The leases of all ranks. A row is either waiting, leased to exactly one rank, or done.
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace mgpu::agent::dispatch {

/// Rows [begin, begin + rows) of a batch: all rows, unless the batch was cut after a worker's death or for a second try.
struct Lease {
  std::uint64_t batch = 0;
  std::uint32_t begin = 0, rows = 0;
  std::uint32_t attempt = 1; ///< 1 + workers that died while executing it
  double granted_at_s = 0;   ///< dispatcher's clock; for a waiting second try: since when
  double cost = 1;
  std::int32_t failed_on = -1;  ///< the rank that could not read it or had no memory: another one tries it; -1: none
  std::uint32_t unreadable = 0; ///< number of its rows that failed there
  std::int32_t broke_on = -1;   ///< the rank whose GPU failed on it: another rank tries it next; -1: none, or two GPUs failed

  /// A worker died on it: it runs alone, so that the next death can be attributed to it.
  bool suspicious() const { return attempt > 1 || broke_on >= 0; }
  bool second_try() const { return failed_on >= 0; }
};

/// Leases by rank, in the order granted, which is the order a worker runs them in.
class LeaseTable {
 public:
  explicit LeaseTable(int ranks)
      : held_(static_cast<std::size_t>(ranks)), cost_(held_.size(), 0.0), front_since_(held_.size(), 0.0) {}

  void add(int rank, const Lease& lease);
  /// Ends the lease of `batch` that begins at row `begin`; nullopt if `rank` does not hold it (a late or repeated answer).
  std::optional<Lease> end(int rank, std::uint64_t batch, std::uint32_t begin, double now_s);
  /// Ends the first `rows` rows of a longer lease; the rest stays leased.
  Lease end_rows(int rank, std::uint64_t batch, std::uint32_t begin, std::uint32_t rows);
  /// Ends all leases of a rank, in order.
  std::vector<Lease> end_all(int rank);

  std::size_t count(int rank) const { return held_[index(rank)].size(); }
  std::size_t total() const { return total_; }
  double cost(int rank) const { return cost_[index(rank)]; }
  /// Since when the rank's oldest lease has been at the front, that is, executing.
  double front_since_s(int rank) const { return front_since_[index(rank)]; }
  /// Excludes time in which the process was suspended.
  void postpone(double seconds) {
    for (double& since_s : front_since_) since_s += seconds;
  }
  /// Rows of the lease of `batch` that begins at row `begin`; 0 if `rank` does not hold it.
  std::uint32_t rows_of(int rank, std::uint64_t batch, std::uint32_t begin) const;
  /// The rank holds any part of the batch.
  bool holds(int rank, std::uint64_t batch) const;
  const std::deque<Lease>& of(int rank) const { return held_[index(rank)]; }

 private:
  static std::size_t index(int rank) { return static_cast<std::size_t>(rank); }
  std::vector<std::deque<Lease>> held_;
  std::vector<double> cost_; ///< sum over held leases
  std::vector<double> front_since_;
  std::size_t total_ = 0;
};

} // namespace mgpu::agent::dispatch
