#pragma once
// The exchange of ranks on CPUs. Parameters lie once in each node's shared memory, gradients beside them, one array a rank. Each rank
// owns a slice of every bucket: it sums there, keeps the optimizer's state and writes the parameters, in one pass.
//
// On one node ready() does nothing: the fused pass reads every gradient once, when all ranks are there, and no rank has a spare core
// that could sum earlier without slowing backward down. Between nodes a thread of each rank sums the buckets as they become ready,
// and the node's agent sums them over the nodes while backward goes on.
#include <memory>

#include "worker/collective/exchange.hpp"
#include "worker/collective/inter_node_reducer.hpp"
#include "worker/collective/shared_node.hpp"

namespace mgpu::worker::collective {

struct SharedSpec {
  std::string token; ///< names what the ranks of a node share; the same on all nodes
  int rank = 0;
  std::vector<int> node_of;                  ///< [world size] node of every rank, nodes counted in order of their first rank
  std::vector<std::string> hosts;            ///< [world size], for messages
  double timeout_s = 300;                    ///< of every wait for other ranks
  std::shared_ptr<InterNodeReducer> reducer; ///< several nodes: of the first rank of each node
  std::shared_ptr<wire::NodeMemory> memory;  ///< see NodeSpec::memory
};

/// `states`: see states_of. Throws Error when not all ranks come within spec.timeout_s, or with different layouts.
std::unique_ptr<Exchange> open_shared_exchange(const SharedSpec& spec, FlatLayout layout, int states);

} // namespace mgpu::worker::collective
