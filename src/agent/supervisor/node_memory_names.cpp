#include "agent/supervisor/node_memory_names.hpp"

#include <utility>

#include "common/wire/control_messages.hpp"
#include "common/wire/node_memory.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

void NodeMemoryNames::note(wire::Type type, wire::View payload) {
  if (type == wire::Type::configure) rank_ = static_cast<std::size_t>(wire::decode<wire::Configure>(payload).rank);
  if (type != wire::Type::connect) return;
  remove();
  const auto connect = wire::decode<wire::Connect>(payload);
  token_ = connect.token;
  node_ = connect.node_of.at(rank_);
}

void NodeMemoryNames::remove() {
  // Every rank of the node tries it: the first one removes them.
  if (!token_.empty()) wire::unlink_node_memory(std::exchange(token_, {}), node_);
}

} // namespace mgpu::agent
