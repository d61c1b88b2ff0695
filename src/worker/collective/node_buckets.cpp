#include "worker/collective/node_buckets.hpp"

#include <algorithm>
#include <string_view>

#include "mgpu/error.hpp"
#include "worker/collective/kernels.hpp"

namespace mgpu::worker::collective {

namespace {

constexpr std::string_view operation = "reducing gradients";

} // namespace

NodeBuckets::NodeBuckets(SharedNode& node, std::vector<Slice> buckets, std::vector<Slice> shares, InterNodeReducer* reducer)
    : node_(node), buckets_(std::move(buckets)), shares_(std::move(shares)), reducer_(reducer), is_ready_(buckets_.size()) {
  for (int local = 0; local < node_.local_size(); ++local) gradients_.push_back(node_.gradients(local));
  thread_ = std::thread([this] { run(); });
}

NodeBuckets::~NodeBuckets() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
    // During a step the thread may wait for ranks that will wait for this one.
    if (ready_ > 0) node_.abort("a rank has left in the middle of a step");
  }
  changed_.notify_all();
  thread_.join();
}

void NodeBuckets::ready(std::size_t bucket) {
  {
    const std::lock_guard lock(mutex_);
    is_ready_[bucket] = true;
    const std::size_t before = ready_;
    while (ready_ < is_ready_.size() && is_ready_[ready_]) ++ready_;
    if (ready_ == before) return;
    announced_ += ready_ - before;
    node_.advance(Count::ready, announced_);
  }
  changed_.notify_all();
}

void NodeBuckets::all_ready() {
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) ready(bucket);
}

void NodeBuckets::wait(std::size_t bucket) {
  if (reducer_ != nullptr) {
    node_.await(Count::summed, count_of(bucket), operation); // the sum over the nodes has then started, or the reason is known
    try {
      reducer_->wait(count_of(bucket), node_.timeout_s(), operation);
    } catch (const Error& error) {
      node_.abort(error.what()); // the node's other ranks wait for this one
      throw;
    }
    node_.advance(Count::reduced, count_of(bucket));
  }
  node_.await(Count::reduced, count_of(bucket), operation);
}

void NodeBuckets::next_step() {
  const std::lock_guard lock(mutex_);
  ++steps_;
  ready_ = 0;
  std::fill(is_ready_.begin(), is_ready_.end(), false);
}

void NodeBuckets::run() {
  try {
    for (std::uint64_t done = 0;; ++done) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return leaving_ || announced_ > done; });
        if (leaving_) return;
      }
      node_.await(Count::ready, done + 1, operation);
      sum_over_node(done % buckets_.size());
      node_.advance(Count::summed, done + 1);
      if (reducer_ == nullptr) continue;
      node_.await(Count::summed, done + 1, operation);
      const Slice& bucket = buckets_[done % buckets_.size()];
      reducer_->begin({done + 1, Stream::gradients, node_.offset_of(sums() + bucket.begin), bucket.size(), NumberType::float32});
    }
  } catch (const Error& error) {
    node_.abort(error.what()); // the caller's next wait throws it
  }
}

void NodeBuckets::sum_over_node(std::size_t bucket) {
  if (node_.local_size() == 1) return; // the sum is in place already
  const Slice& share = shares_[bucket];
  kernels().sum(gradients_.data(), gradients_.size(), share.begin, share.size(), 1, node_.gradients(0) + share.begin);
}

} // namespace mgpu::worker::collective
