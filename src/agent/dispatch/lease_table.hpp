#pragma once
// Who holds which batch. A batch is either waiting, leased to exactly one rank, or done.
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace mgpu::agent::dispatch {

/// Rows [begin, begin + rows) of a batch: all of them, but for batches that were cut after a worker died over them.
struct Lease {
  std::uint64_t batch = 0;
  std::uint32_t begin = 0, rows = 0;
  std::uint32_t attempt = 1; ///< 1 + workers that died while they were executing it
  double granted_at_s = 0;   ///< clock of the dispatcher; of one that waits to be tried elsewhere: since when
  double cost = 1;
  std::int32_t failed_on = -1;  ///< the rank that could not read it or had no memory: another one tries it; -1: none
  std::uint32_t unreadable = 0; ///< of those rows, the ones that failed there
  std::int32_t broke_on = -1;   ///< the rank whose GPU failed over it: another one tries it first; -1: none, or two

  /// A worker died over it: it runs alone, so that the next death can be put down to it.
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
  /// Ends the first `rows` rows of a lease that has more: what is left begins behind them.
  Lease end_rows(int rank, std::uint64_t batch, std::uint32_t begin, std::uint32_t rows);
  /// Ends all leases of a rank, in order.
  std::vector<Lease> end_all(int rank);

  std::size_t count(int rank) const { return held_[index(rank)].size(); }
  std::size_t total() const { return total_; }
  double cost(int rank) const { return cost_[index(rank)]; }
  /// Since when the rank's oldest lease has been at the front, that is, executing.
  double front_since_s(int rank) const { return front_since_[index(rank)]; }
  /// Time in which nothing could be done does not count.
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
