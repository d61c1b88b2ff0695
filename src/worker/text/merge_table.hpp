#pragma once
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace mgpu::worker::text {

struct Merge {
  std::uint32_t left = 0, right = 0; ///< token ids
  std::uint32_t result = 0;          ///< token id of the two together
};

/// From a pair of token ids to the token that replaces it, and its rank. Filled once, then read by many threads.
class MergeTable {
 public:
  static constexpr std::uint32_t no_rank = UINT32_MAX;
  struct Found {
    std::uint32_t rank = no_rank;
    std::uint32_t result = 0;
  };

  /// Merges in the order of their rank. Of a pair that occurs twice the later one counts, as in `tokenizers`.
  explicit MergeTable(std::span<const Merge> merges) : slots_(std::bit_ceil(2 * merges.size() + 16)) {
    shift_ = 64 - std::countr_zero(slots_.size());
    for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
      const Merge& merge = merges[rank];
      const std::uint64_t pair = pair_of(merge.left, merge.right);
      slots_[slot_of(pair)] = {pair, {rank, merge.result}};
    }
  }

  /// Found::rank is no_rank if the pair is not merged.
  Found find(std::uint32_t left, std::uint32_t right) const { return slots_[slot_of(pair_of(left, right))].found; }

 private:
  static constexpr std::uint64_t empty = UINT64_MAX;
  struct Slot {
    std::uint64_t pair = empty;
    Found found;
  };

  static std::uint64_t pair_of(std::uint32_t left, std::uint32_t right) { return std::uint64_t{left} << 32 | right; }

  /// The slot of the pair, or the empty one where it would stand.
  std::size_t slot_of(std::uint64_t pair) const {
    std::size_t at = (pair * 0x9E3779B97F4A7C15u) >> shift_; // Fibonacci hashing: the high bits depend on all others
    while (slots_[at].pair != pair && slots_[at].pair != empty) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_; ///< a power of two, at most half full
  int shift_ = 0;
};

} // namespace mgpu::worker::text
