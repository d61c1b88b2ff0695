#pragma once
#include <cstddef>
#include <string>

#include "common/wire/channel.hpp"

namespace mgpu::agent {

/// The names in /dev/shm of the memory that a rank's workers share with the other workers of their node. Workers remove them when all are
/// connected; this removes what workers that died have left.
class NodeMemoryNames {
 public:
  NodeMemoryNames() = default;
  ~NodeMemoryNames() { remove(); }
  NodeMemoryNames(const NodeMemoryNames&) = delete;
  NodeMemoryNames& operator=(const NodeMemoryNames&) = delete;

  /// A frame to the worker: Configure has its rank, Connect the name. A second Connect means that the training has restarted.
  void note(wire::Type type, wire::View payload);
  void remove();

 private:
  std::size_t rank_ = 0; ///< among the ranks that train
  std::string token_;    ///< "": not connected
  int node_ = 0;
};

} // namespace mgpu::agent
