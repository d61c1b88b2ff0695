#pragma once
// Rank 0's record of every rank.
#include <optional>
#include <string>
#include <vector>

#include "agent/comm/binding.hpp"
#include "agent/coordinator/gpu_history.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

struct RankState {
  std::optional<wire::Join> join;
  std::optional<wire::Hello> hello;
  bool configured = false;
  std::optional<wire::Opened> opened;
  std::optional<wire::Stats> stats;
  std::string lost;  ///< why the rank was dropped; "" while it takes part
  bool gone = false; ///< its agent is dead or silent
  bool left = false; ///< has sent its bye
  int deaths = 0;    ///< of its workers
  double heard_s = 0;
  std::string gpu_uuid; ///< of the GPU it is bound to; "": none
  GpuHistory gpu;
  wire::Progress progress;

  bool ready() const { return join && hello; }
};

class RankTable {
 public:
  explicit RankTable(int size) : ranks_(static_cast<std::size_t>(size)) {}
  int size() const { return static_cast<int>(ranks_.size()); }
  RankState& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  const RankState& at(int rank) const { return ranks_[static_cast<std::size_t>(rank)]; }

  /// True when `fact` holds for every rank that is not lost.
  template <typename Fact>
  bool all(const Fact& fact) const {
    for (const RankState& state : ranks_)
      if (state.lost.empty() && !fact(state)) return false;
    return true;
  }
  /// First rank that is not lost and for which `fact` does not hold; -1 if none.
  template <typename Fact>
  int first_without(const Fact& fact) const {
    for (int rank = 0; rank < size(); ++rank)
      if (at(rank).lost.empty() && !fact(at(rank))) return rank;
    return -1;
  }
  int living() const {
    int count = 0;
    for (const RankState& state : ranks_) count += state.lost.empty() ? 1 : 0;
    return count;
  }
  std::vector<comm::RankFacts> facts() const {
    std::vector<comm::RankFacts> facts;
    for (const RankState& state : ranks_) facts.push_back({*state.join, *state.hello});
    return facts;
  }

 private:
  std::vector<RankState> ranks_;
};

} // namespace mgpu::agent
