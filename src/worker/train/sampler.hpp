#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace mgpu::worker::train {

/// One of the orders of [0, size), chosen by a key: position → element, in no memory. Swap-or-not (Hoang, Morris and Rogaway 2012): in
/// each round an element and its mirror image about a key of the round change places or not, as a hash of the pair says; so every
/// size is permuted exactly, without a table.
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

/// What rank `rank` of `world` takes of `samples` samples: [rank · samples / world, (rank + 1) · samples / world).
Range share(std::uint64_t samples, std::uint64_t rank, std::uint64_t world);

/// In which order an epoch visits the items: a function of the seed and the epoch, not of the ranks.
class Sampler {
 public:
  /// Of `items` items the first `fraction` (0 < fraction ≤ 1; at least one item) of an order that the seed fixes: the same for every
  /// epoch, a smaller fraction within a larger one. shuffle false: the manifest's order, every epoch.
  Sampler(std::uint64_t items, std::uint64_t seed, bool shuffle, double fraction = 1);

  /// Samples of an epoch.
  std::uint64_t size() const { return size_; }
  /// Item at `position` < size() of `epoch`. Thread-safe. About half a microsecond.
  std::uint64_t order(std::uint64_t epoch, std::uint64_t position) const;

 private:
  std::uint64_t seed_;
  bool shuffle_;
  std::uint64_t size_;
  Permutation subset_;                   ///< of all items; its first size_ are visited
  bool whole_;                           ///< every item is
  std::vector<std::uint64_t> ascending_; ///< a subset in the manifest's order; empty when shuffling or whole
};

/// Variation::seed of an item's visit in an epoch.
std::uint64_t visit_seed(std::uint64_t seed, std::uint64_t epoch, std::uint64_t item);

} // namespace mgpu::worker::train
