#pragma once
#include <cstdint>
#include <vector>

#include "agent/coordinator/rank_table.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// How the ranks that train connect, and the network that they have opened.
struct Connection {
  wire::Connect message; ///< token, nodes, hosts and NCCL id
  wire::Trainable trainable;
  std::int64_t fits = 0; ///< largest micro-batch that fits all ranks; 0: not searched
};

/// Requires that all ranks have opened. `number`, by rank: among those that train, -1: lost. Throws usage_error when they opened
/// different networks.
Connection connect_ranks(const RankTable& rank_table, const std::vector<int>& number);

} // namespace mgpu::agent
