#pragma once
// Detects ranks that fail items which other ranks can process: a lost mount, a node short of memory. Uses counts, no clock.
#include <cstdint>
#include <optional>
#include <vector>

namespace mgpu::agent::dispatch {

/// An item that failed by reading or memory is retried once on another rank ("unsettled" until that has answered).
class RankHealth {
 public:
  explicit RankHealth(int ranks) : ranks_(static_cast<std::size_t>(ranks)) {}

  /// Rows that a rank processed as the first; `unsettled` of them go to another rank.
  void note_done(int rank, std::uint64_t rows, std::uint64_t unsettled);
  /// `rows` of the rank's unsettled rows were retried on other ranks; `well` of them succeeded there.
  void note_settled(int rank, std::uint64_t rows, std::uint64_t well);
  /// Too many of its rows are unsettled: it gets no new work until other ranks have retried them.
  bool held_back(int rank) const { return of(rank).unsettled >= most_unsettled; }
  /// The rank fails far more rows than the others, and others can process them.
  bool fails_alone(int rank) const;
  /// Number of its last rows that failed by reading or memory.
  std::uint64_t failed(int rank) const { return of(rank).failed; }
  std::uint64_t done(int rank) const { return of(rank).done; }

  static constexpr std::uint64_t most_unsettled = 256;

 private:
  struct Count {
    std::uint64_t done = 0, failed = 0; ///< first tries, of the last rows
    std::uint64_t unsettled = 0, well_elsewhere = 0;
  };
  const Count& of(int rank) const { return ranks_[static_cast<std::size_t>(rank)]; }
  std::vector<Count> ranks_;
};

} // namespace mgpu::agent::dispatch
