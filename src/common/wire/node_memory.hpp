#pragma once
// Memory that the ranks of a node and their agents share under a name.
#include <cstddef>
#include <string>
#include <utility>

namespace mgpu::wire {

/// "/dev/shm/mgpu-TOKEN-NODE": nodes count, so that emulated nodes on one machine do not meet.
std::string node_memory_path(const std::string& token, int node);
/// Removes the names of all memory of a node whose tokens begin with `token`; what is mapped stays. Returns how many there were. For
/// agents whose workers died.
int unlink_node_memory(const std::string& token, int node);

/// A mapping of such memory. Zeros at first.
class NodeMemory {
 public:
  /// Makes it, for this user only. Throws Error when it exists already.
  static NodeMemory create(const std::string& token, int node, std::size_t size_bytes);
  /// Maps it; nullptr data() while it is not yet there. Throws Error when it cannot be mapped.
  static NodeMemory open(const std::string& token, int node);
  /// Memory of this process alone, in huge pages where the system has them.
  static NodeMemory anonymous(std::size_t size_bytes);
  ~NodeMemory();
  NodeMemory(NodeMemory&& other) noexcept;
  NodeMemory& operator=(NodeMemory&&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  /// Takes the pages of a range from the system now, near the calling thread's core. Throws Error when there is no room; without
  /// this the process would die of SIGBUS later.
  void reserve(std::size_t offset, std::size_t size_bytes) const;
  /// Says that `holder` lives: until this object goes or its process ends, however it ends.
  void hold(int holder) const;
  /// Whether a holder in another process (or with another mapping) lives. Always true for anonymous memory.
  bool held(int holder) const;
  /// Removes the name, if this object made it.
  void unlink() noexcept;

 private:
  NodeMemory(int fd, std::byte* data, std::size_t size_bytes, std::string path)
      : fd_(fd), data_(data), size_bytes_(size_bytes), path_(std::move(path)) {}
  int fd_;
  std::byte* data_;
  std::size_t size_bytes_;
  std::string path_; ///< "": made by somebody else, or removed
};

} // namespace mgpu::wire
