#pragma once
// The exchange of ranks on CPUs. Each node's shared memory has the parameters once, and the gradients in one array per rank. Each
// rank owns a slice of every bucket: it sums the gradients there, keeps the optimizer's state and writes the parameters, in one
// pass.
//
// On one node ready() does nothing: the fused pass reads every gradient once, when all ranks have finished, and no rank has a
// spare core for earlier sums that would not slow backward down. With several nodes a thread of each rank sums the buckets as
// they become ready, and the node's agent sums them over the nodes during backward.
#include <memory>

#include "worker/collective/exchange.hpp"
#include "worker/collective/inter_node_reducer.hpp"
#include "worker/collective/shared_node.hpp"

namespace mgpu::worker::collective {

struct SharedSpec {
  std::string token; ///< name of the node's shared memory; the same on all nodes
  int rank = 0;
  std::vector<int> node_of;                  ///< [world size] node of every rank, nodes counted in order of their first rank
  std::vector<std::string> hosts;            ///< [world size], for messages
  double timeout_s = 300;                    ///< time limit of every wait for other ranks
  std::shared_ptr<InterNodeReducer> reducer; ///< with several nodes: on the first rank of each node
  std::shared_ptr<wire::NodeMemory> memory;  ///< see NodeSpec::memory
};

/// `states`: see states_of. Throws Error when a rank does not join within spec.timeout_s, or has another layout.
std::unique_ptr<Exchange> open_shared_exchange(const SharedSpec& spec, FlatLayout layout, int states);

} // namespace mgpu::worker::collective
