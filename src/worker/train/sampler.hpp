#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace mgpu::worker::train {

/// A permutation of [0, size), chosen by a key, computed without a table. Swap-or-not (Hoang, Morris and Rogaway 2012): in each
/// round an element and its mirror image about a key of the round are swapped or not, by a hash of the pair. Works exactly for
/// every size.
class Permutation {
 public:
  Permutation(std::uint64_t size, std::uint64_t key);
  /// position < size.
  std::uint64_t operator()(std::uint64_t position) const;

 private:
  static constexpr std::size_t rounds = 64;
  std::uint64_t size_;
  struct Round {
    std::uint64_t mirror, key;
  };
  std::array<Round, rounds> rounds_;
};

/// Part of a sequence, end exclusive.
struct Range {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t size() const { return end - begin; }
};

/// The share of rank `rank` of `world` in `samples` samples: [rank · samples / world, (rank + 1) · samples / world).
Range share(std::uint64_t samples, std::uint64_t rank, std::uint64_t world);

/// The order in which an epoch visits the items: depends on the seed and the epoch, not on the ranks.
class Sampler {
 public:
  /// Uses the first `fraction` (0 < fraction ≤ 1; at least one item) of an order of `items` items that depends on the seed: the
  /// same for every epoch; a smaller fraction is part of a larger one. shuffle false: the manifest's order in every epoch.
  Sampler(std::uint64_t items, std::uint64_t seed, bool shuffle, double fraction = 1);

  /// Number of samples in an epoch.
  std::uint64_t size() const { return size_; }
  /// Item at `position` < size() of `epoch`. Thread-safe. About half a microsecond.
  std::uint64_t order(std::uint64_t epoch, std::uint64_t position) const;

 private:
  std::uint64_t seed_;
  bool shuffle_;
  std::uint64_t size_;
  Permutation subset_;                   ///< of all items; the first size_ are used
  bool whole_;                           ///< every item is used
  std::vector<std::uint64_t> ascending_; ///< a subset in the manifest's order; empty when shuffling or whole
};

/// Variation::seed of an item's visit in an epoch.
std::uint64_t visit_seed(std::uint64_t seed, std::uint64_t epoch, std::uint64_t item);

} // namespace mgpu::worker::train
