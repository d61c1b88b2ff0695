#pragma once
#include <cstdint>
#include <vector>

#include "agent/coordinator/rank_table.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// How the ranks that train reach each other, and what they have opened.
struct Connection {
  wire::Connect message; ///< token, nodes, hosts and NCCL id
  wire::Trainable trainable;
  std::int64_t fits = 0; ///< largest micro-batch that fits all of them; 0: they did not search
};

/// Of ranks that have all opened; `number`, by rank: among those that train, -1: it is out. Throws usage_error where they opened
/// different networks.
Connection connect_ranks(const RankTable& rank_table, const std::vector<int>& number);

} // namespace mgpu::agent
