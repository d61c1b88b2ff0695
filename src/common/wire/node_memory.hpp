#pragma once
// Named memory shared by the ranks of a node and their agents.
#include <cstddef>
#include <string>
#include <utility>

namespace mgpu::wire {

/// "/dev/shm/mgpu-TOKEN-NODE". With the node's number, emulated nodes on one machine do not collide.
std::string node_memory_path(const std::string& token, int node);
/// Removes the names of all memory of a node whose tokens begin with `token`; mappings stay valid. Returns the number of names.
/// For agents whose workers died.
int unlink_node_memory(const std::string& token, int node);

/// A mapping of such memory, initially zero.
class NodeMemory {
 public:
  /// Creates it, for this user only. Throws Error when it exists already.
  static NodeMemory create(const std::string& token, int node, std::size_t size_bytes);
  /// Maps it; data() is nullptr if it does not exist yet. Throws Error when it cannot be mapped.
  static NodeMemory open(const std::string& token, int node);
  /// Private memory of this process, in huge pages if available.
  static NodeMemory anonymous(std::size_t size_bytes);
  ~NodeMemory();
  NodeMemory(NodeMemory&& other) noexcept;
  NodeMemory& operator=(NodeMemory&&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  /// Allocates the pages of a range now, near the calling thread's core. Throws Error when there is no space; otherwise the
  /// process would die of SIGBUS later.
  void reserve(std::size_t offset, std::size_t size_bytes) const;
  /// Marks `holder` as alive until this object is destroyed or its process ends in any way.
  void hold(int holder) const;
  /// Whether a holder in another process (or with another mapping) is alive. Always true for anonymous memory.
  bool held(int holder) const;
  /// Removes the name, if this object made it.
  void unlink() noexcept;

 private:
  NodeMemory(int fd, std::byte* data, std::size_t size_bytes, std::string path)
      : fd_(fd), data_(data), size_bytes_(size_bytes), path_(std::move(path)) {}
  int fd_;
  std::byte* data_;
  std::size_t size_bytes_;
  std::string path_; ///< "": created by another object, or removed
};

} // namespace mgpu::wire
