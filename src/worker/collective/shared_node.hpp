#pragma once
// The shared memory of a node's ranks: a page by which they wait for each other, slots for small numbers, the parameters once,
// and an array of gradients per rank.
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/node_memory.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::collective {

struct NodeSpec {
  std::string token; ///< name of the memory; "" with one rank: private memory
  int node = 0;
  std::vector<int> ranks;         ///< of this node, ascending
  int local_rank = 0;             ///< this rank's index in `ranks`
  std::vector<std::string> hosts; ///< of all ranks, for messages; may be empty
  double timeout_s = 300;         ///< time limit of every wait
  std::size_t area_numbers = 0;   ///< doubles in the area that agents sum; 0 with one node
  /// Used instead of named memory by ranks that are threads of one process: NodeMap::size_bytes zeros.
  std::shared_ptr<wire::NodeMemory> memory;
};

/// Offsets in a node's memory, bytes.
struct NodeMap {
  std::size_t slots = 0, area = 0, parameters = 0, gradients = 0, gradients_stride = 0, size_bytes = 0;
  NodeMap(const FlatLayout& layout, std::size_t local_size, std::size_t area_numbers);
};

/// Counters of a rank that others wait for.
enum class Count { arrived, ready, summed, reduced };

class SharedNode {
 public:
  static constexpr std::size_t slot_numbers = 4096; ///< doubles that a rank can publish at once

  /// Creates the memory (the node's first rank) or waits for it, and for all ranks to join. Throws Error: no space, a rank that
  /// does not join, a rank with another layout.
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
  /// A rank uses its two slots in turn, so that one barrier between writing and reading is enough.
  double* slot(int local, bool second) const;
  double* area() const { return at<double>(map_.area); }
  /// Bytes from the start of the memory.
  std::size_t offset_of(const void* place) const {
    return static_cast<std::size_t>(static_cast<const std::byte*>(place) - memory_->data());
  }
  /// Removes the memory's name, if this rank made it: when nobody needs it any more, so that a crash does not leave it behind.
  void unlink() {
    if (local_rank_ == 0) memory_->unlink();
  }

  /// Waits for all ranks of the node. Throws Error naming the missing ranks after timeout_s, or a rank that has ended, or with
  /// the reason given to abort().
  void barrier(std::string_view operation);
  /// Sets this rank's counter and wakes waiting ranks.
  void advance(Count count, std::uint64_t value);
  /// Waits until a counter has reached `value` on all ranks (Count::reduced: on the first). Throws as barrier.
  void await(Count count, std::uint64_t value, std::string_view operation);
  /// Makes waiting and later calls of all ranks of the node throw `reason`; the first reason is kept. From any thread.
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
