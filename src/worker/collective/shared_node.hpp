#pragma once
// The ranks of one node in one piece of shared memory: a page through which they wait for each other, slots for small numbers, the
// parameters once, and an array of gradients for each rank.
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/node_memory.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::collective {

struct NodeSpec {
  std::string token; ///< names the memory; "" with one rank: memory of this process alone
  int node = 0;
  std::vector<int> ranks;         ///< of this node, ascending
  int local_rank = 0;             ///< this rank's place in `ranks`
  std::vector<std::string> hosts; ///< of all ranks, for messages; may be empty
  double timeout_s = 300;         ///< of every wait
  std::size_t area_numbers = 0;   ///< doubles of the area that agents sum; 0 on one node
  /// Instead of memory with a name: zeros that the ranks, threads of one process, share (NodeMap::size_bytes of them).
  std::shared_ptr<wire::NodeMemory> memory;
};

/// Where everything lies in a node's memory, in bytes from its start.
struct NodeMap {
  std::size_t slots = 0, area = 0, parameters = 0, gradients = 0, gradients_stride = 0, size_bytes = 0;
  NodeMap(const FlatLayout& layout, std::size_t local_size, std::size_t area_numbers);
};

/// What a rank counts up, for the others to wait for.
enum class Count { arrived, ready, summed, reduced };

class SharedNode {
 public:
  static constexpr std::size_t slot_numbers = 4096; ///< doubles a rank can show the others at once

  /// Makes the memory (the node's first rank) or waits for it, and for everybody to be in it. Throws Error: no room, a rank that
  /// does not come, a rank with another layout.
  SharedNode(const NodeSpec& spec, const FlatLayout& layout);
  SharedNode(const SharedNode&) = delete;
  SharedNode& operator=(const SharedNode&) = delete;

  int local_rank() const { return local_rank_; }
  int local_size() const { return static_cast<int>(ranks_.size()); }
  int rank_of(int local) const { return ranks_[static_cast<std::size_t>(local)]; }

  float* parameters() const { return at<float>(map_.parameters); }
  float* gradients(int local) const {
    return at<float>(map_.gradients + map_.gradients_stride * static_cast<std::size_t>(local));
  }
  /// A rank has two slots and uses them in turn, so that one barrier between writing and reading is enough.
  double* slot(int local, bool second) const;
  double* area() const { return at<double>(map_.area); }
  /// Bytes from the start of the memory.
  std::size_t offset_of(const void* place) const {
    return static_cast<std::size_t>(static_cast<const std::byte*>(place) - memory_->data());
  }
  /// Removes the memory's name, if this rank made it: once nobody needs it any more, so that no crash leaves it behind.
  void unlink() {
    if (local_rank_ == 0) memory_->unlink();
  }

  /// Waits until all ranks of the node are here. Throws Error naming those that are not after timeout_s, a rank that has ended, or
  /// the reason given to abort().
  void barrier(std::string_view operation);
  /// Sets this rank's count and wakes those that wait for it.
  void advance(Count count, std::uint64_t value);
  /// Waits until a count has reached `value` on all ranks (Count::reduced: on the first). Throws as barrier.
  void await(Count count, std::uint64_t value, std::string_view operation);
  /// Makes waiting and later calls of all ranks of the node throw `reason`; the first reason stays. From any thread.
  void abort(std::string_view reason);
  double timeout_s() const { return timeout_s_; }
  /// Throws the reason of abort(), if there was one.
  void check() const;

 private:
  struct Control;
  struct RankPage;
  template <typename T>
  T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(memory_->data() + offset);
  }
  Control& control() const { return *at<Control>(0); }
  RankPage& page(int local) const;
  void create(const NodeSpec& spec, const FlatLayout& layout);
  void join(const NodeSpec& spec, const FlatLayout& layout);
  bool cores_for_all() const;
  bool reached(Count count, int local, std::uint64_t value) const;
  bool reached(Count count, std::uint64_t value) const;
  void sleep(Count count, std::uint64_t value, std::string_view operation);
  void look_for_the_dead(Count count, std::uint64_t value, std::string_view operation);
  void notify();
  std::string name(int local) const;
  [[noreturn]] void fail(const std::string& reason);

  std::vector<int> ranks_;
  std::vector<std::string> hosts_;
  int local_rank_;
  double timeout_s_;
  NodeMap map_;
  std::shared_ptr<wire::NodeMemory> memory_;
  bool spin_ = false;
  std::uint64_t barriers_ = 0;

  friend NodeMap;
};

} // namespace mgpu::worker::collective
