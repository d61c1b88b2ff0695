#pragma once
// Sums buckets of gradients over several nodes during backward. On each rank a thread sums the rank's share of a bucket into the
// first rank's gradients as soon as the bucket is ready on all ranks of the node; then the node's agent sums it over the nodes.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "worker/collective/inter_node_reducer.hpp"
#include "worker/collective/shared_node.hpp"

namespace mgpu::worker::collective {

class NodeBuckets {
 public:
  /// `shares`: by bucket, the part that this rank sums. `reducer`: on the node's first rank, else nullptr. `node` and `reducer`
  /// must outlive this.
  NodeBuckets(SharedNode& node, std::vector<Slice> buckets, std::vector<Slice> shares, InterNodeReducer* reducer);
  ~NodeBuckets();
  NodeBuckets(const NodeBuckets&) = delete;
  NodeBuckets& operator=(const NodeBuckets&) = delete;

  /// This rank's gradients of a bucket are final. From any thread; repeated calls have no effect.
  void ready(std::size_t bucket);
  void all_ready();
  /// Waits until the bucket's sum over all ranks is in sums(). In order of buckets, once per step each. Throws Error.
  void wait(std::size_t bucket);
  const float* sums() const { return node_.gradients(0); }
  /// Call it after wait() of every bucket.
  void next_step();

 private:
  std::uint64_t count_of(std::size_t bucket) const { return steps_ * buckets_.size() + bucket + 1; }
  void run();
  void sum_over_node(std::size_t bucket);

  SharedNode& node_;
  std::vector<Slice> buckets_, shares_;
  InterNodeReducer* reducer_;
  std::vector<const float*> gradients_; ///< of the node's ranks
  std::uint64_t steps_ = 0;             ///< finished steps; used by the calling thread
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> is_ready_;
  std::size_t ready_ = 0;       ///< number of first buckets that are all ready
  std::uint64_t announced_ = 0; ///< the same, counted over all steps
  bool leaving_ = false;
  std::thread thread_; // last member: it uses the others
};

} // namespace mgpu::worker::collective
