#pragma once
// Sums of small host vectors over all ranks, in the order of ranks: through slots in the node's shared memory, and between nodes
// through an area that the agents sum.
#include <span>
#include <string_view>
#include <vector>

#include "worker/collective/inter_node_reducer.hpp"
#include "worker/collective/shared_node.hpp"

namespace mgpu::worker::collective {

class SmallSums {
 public:
  /// `node_of`: [world size]. `reducer`: of the node's first rank when there are several nodes, else nullptr. All must outlive this.
  SmallSums(SharedNode& node, const std::vector<int>& node_of, InterNodeReducer* reducer);
  /// NodeSpec::area_numbers for these nodes.
  static std::size_t area_numbers(const std::vector<int>& node_of);

  /// As in Exchange.
  void sum(std::span<double> values, std::string_view what);
  void mean(std::span<float> values, std::string_view what);
  double least(double value, std::string_view what);
  /// Sums `count` numbers at `place` in shared memory over the nodes. Every rank calls it, after all ranks of the node have
  /// written their numbers.
  void over_nodes(void* place, std::size_t count, NumberType type, std::string_view what);

 private:
  bool alone() const { return nodes_ == 1; }
  void show(std::span<const double> values, std::string_view what);
  const double* shown(int rank, std::size_t count) const;

  SharedNode& node_;
  InterNodeReducer* reducer_;
  int world_size_, nodes_;
  std::size_t room_; ///< numbers that can be published at once
  bool turn_ = false;
  std::uint64_t sums_ = 0;
};

} // namespace mgpu::worker::collective
