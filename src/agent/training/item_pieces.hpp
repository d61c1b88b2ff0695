#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/training/unusable_items.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// The items of a training on their way to the workers, in pieces. A rank gets a piece when the one before has left: else each of them would
/// wait as a copy of its own.
class ItemPieces {
 public:
  explicit ItemPieces(RunControl& control);

  /// `held_out`: how many items of the validation set take part. What is given up is marked.
  void make(std::uint64_t held_out, const UnusableItems& unusable);
  /// The rank's worker gets all of them.
  void begin(int rank) { next_[static_cast<std::size_t>(rank)] = 0; }
  /// To be called in every round. Ranks that are not `fresh` get nothing, for their worker is to end.
  void hand_out(const std::vector<bool>& fresh);
  /// Every rank has them.
  void clear() { pieces_ = {}; }

 private:
  void add(wire::DataPart part, const manifest::Manifest& manifest, const manifest::StringColumn& labels, std::uint64_t count,
           const UnusableItems& unusable);

  RunControl& control_;
  std::vector<wire::Buffer> pieces_; ///< frames of type items
  std::vector<std::size_t> next_;    ///< by rank
};

} // namespace mgpu::agent
