#pragma once
// Which ranks fail items that others can do: a lost mount, a node short of memory. Counts, no clock.
#include <cstdint>
#include <optional>
#include <vector>

namespace mgpu::agent::dispatch {

/// An item that failed by reading or memory is tried once on another rank ("unsettled" until that has answered).
class RankHealth {
 public:
  explicit RankHealth(int ranks) : ranks_(static_cast<std::size_t>(ranks)) {}

  /// Rows that a rank did as the first; `unsettled` of them go to another rank.
  void note_done(int rank, std::uint64_t rows, std::uint64_t unsettled);
  /// Of `rank`'s unsettled rows so many were tried elsewhere; `well` of them could be done there.
  void note_settled(int rank, std::uint64_t rows, std::uint64_t well);
  /// Too many of its rows are unsettled: it gets no new work until others have told whether it is to blame.
  bool held_back(int rank) const { return of(rank).unsettled >= most_unsettled; }
  /// The rank fails far more rows than the others, and others could do them.
  bool fails_alone(int rank) const;
  /// Of its last rows, so many failed by reading or memory.
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
