#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/training/unusable_items.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// Sends the items of a training to the workers, in pieces. A rank gets a piece when the previous one is sent, because each
/// queued piece is a separate copy.
class ItemPieces {
 public:
  explicit ItemPieces(RunControl& control);

  /// Makes the pieces. `held_out`: number of validation items in use. Items that were given up are marked.
  void make(std::uint64_t held_out, const UnusableItems& unusable);
  /// Sends all pieces to the rank's new worker.
  void begin(int rank) { next_[static_cast<std::size_t>(rank)] = 0; }
  /// Call it in every round. Ranks that are not `fresh` get nothing: their worker is about to end.
  void hand_out(const std::vector<bool>& fresh);
  /// Frees the pieces, when every rank has them.
  void clear() { pieces_ = {}; }

 private:
  void add(wire::DataPart part, const manifest::Manifest& manifest, const manifest::StringColumn& labels, std::uint64_t count,
           const UnusableItems& unusable);

  RunControl& control_;
  std::vector<wire::Buffer> pieces_; ///< frames of type items
  std::vector<std::size_t> next_;    ///< by rank
};

} // namespace mgpu::agent
