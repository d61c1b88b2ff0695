#include "agent/training/training_connect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string>

#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {

std::string random_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

} // namespace

Connection connect_ranks(const RankTable& rank_table, const std::vector<int>& number) {
  const int leader = static_cast<int>(std::find(number.begin(), number.end(), 0) - number.begin());
  Connection connection;
  connection.trainable = rank_table.at(leader).opened->trainable;
  connection.fits = connection.trainable.batch_size;
  wire::Connect& message = connection.message;
  std::vector<std::string> nodes;
  for (int rank = leader; rank < rank_table.size(); ++rank) {
    if (number[static_cast<std::size_t>(rank)] < 0) continue;
    const wire::Trainable& trainable = rank_table.at(rank).opened->trainable;
    const wire::Join& join = *rank_table.at(rank).join;
    if (trainable.signature != connection.trainable.signature)
      throw usage_error(
          fmt::format("rank {} on {} opened another network than rank {} on {}: is the file the same on every host?", rank,
                      join.host, leader, rank_table.at(leader).join->host));
    connection.fits = std::min(connection.fits, trainable.batch_size);
    auto node = std::find(nodes.begin(), nodes.end(), join.node);
    if (node == nodes.end()) node = nodes.insert(node, join.node);
    message.node_of.push_back(static_cast<std::int32_t>(node - nodes.begin()));
    message.hosts.push_back(join.host);
  }
  message.token = random_token();
  message.nccl_id = connection.trainable.nccl_id;
  return connection;
}

} // namespace mgpu::agent
