#include "worker/collective/shared_exchange.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"
#include "worker/collective/kernels.hpp"
#include "worker/collective/node_buckets.hpp"
#include "worker/collective/optimizer.hpp"
#include "worker/collective/small_sums.hpp"

namespace mgpu::worker::collective {

namespace {

constexpr std::size_t line_elements = 16; ///< a cache line of float32: ranks do not share lines that they write

/// Share `local` of `size` in a bucket.
Slice share_of(const Slice& bucket, int local, int size) {
  const std::size_t lines = (bucket.size() + line_elements - 1) / line_elements;
  const auto border = [&](int k) {
    return std::min(bucket.end,
                    bucket.begin + lines * static_cast<std::size_t>(k) / static_cast<std::size_t>(size) * line_elements);
  };
  return {border(local), border(local + 1)};
}

NodeSpec node_spec(const SharedSpec& spec) {
  NodeSpec out;
  out.token = spec.node_of.size() == 1 ? "" : spec.token;
  out.node = spec.node_of[static_cast<std::size_t>(spec.rank)];
  for (int rank = 0; rank < static_cast<int>(spec.node_of.size()); ++rank) {
    if (spec.node_of[static_cast<std::size_t>(rank)] != out.node) continue;
    if (rank == spec.rank) out.local_rank = static_cast<int>(out.ranks.size());
    out.ranks.push_back(rank);
  }
  out.hosts = spec.hosts;
  out.timeout_s = spec.timeout_s;
  out.area_numbers = SmallSums::area_numbers(spec.node_of);
  out.memory = spec.memory;
  return out;
}

class SharedExchange final : public Exchange {
 public:
  SharedExchange(const SharedSpec& spec, FlatLayout layout, int states)
      : rank_(spec.rank),
        node_of_(spec.node_of),
        layout_(std::move(layout)),
        reducer_(spec.reducer),
        node_(node_spec(spec), layout_),
        sums_(node_, node_of_, reducer_.get()),
        optimizer_(layout_.undecayed) {
    for (const Slice& bucket : layout_.buckets) {
      shares_.push_back(share_of(bucket, node_.local_rank(), node_.local_size()));
      state_at_.push_back(share_elements_);
      share_elements_ += shares_.back().size();
    }
    for (int s = 0; s < states; ++s)
      states_.push_back(wire::NodeMemory::anonymous(std::max<std::size_t>(share_elements_, 1) * sizeof(float)));
    for (int local = 0; local < node_.local_size(); ++local) gradients_.push_back(node_.gradients(local));
    if (node_.local_size() < size())
      buckets_ = std::make_unique<NodeBuckets>(node_, layout_.buckets, shares_, reducer_.get());
    else
      node_.unlink(); // all ranks have joined; with several nodes the agents open it by name
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(node_of_.size()); }
  float* parameters() override { return node_.parameters(); }
  float* gradients() override { return node_.gradients(node_.local_rank()); }
  void broadcast_parameters() override {
    constexpr std::string_view what = "taking rank 0's parameters";
    node_.barrier(what);
    if (!buckets_) return;
    // Sums with zeros: exact.
    if (reducer_ && rank_ > 0) std::fill_n(parameters(), layout_.elements, 0.0F);
    sums_.over_nodes(parameters(), layout_.elements, NumberType::float32, what);
  }

  void ready(std::size_t bucket) override {
    if (buckets_) buckets_->ready(bucket);
  }

  StepResult step(const StepRequest& request) override {
    const StepResult result = take_step(request);
    if (buckets_) buckets_->next_step();
    return result;
  }

  std::vector<Slice> shard() const override {
    std::vector<Slice> sorted;
    for (const std::size_t bucket : in_order()) {
      const Slice& share = shares_[bucket];
      if (share.size() == 0) continue;
      if (!sorted.empty() && sorted.back().end == share.begin)
        sorted.back().end = share.end;
      else
        sorted.push_back(share);
    }
    return sorted;
  }

  void read_shard(int state, std::span<float> out) override {
    for_shard(state, out.size(), [&](std::size_t at, float* place, std::size_t count) { std::copy_n(place, count, &out[at]); });
  }

  void write_shard(int state, std::span<const float> in) override {
    for_shard(state, in.size(), [&](std::size_t at, float* place, std::size_t count) { std::copy_n(&in[at], count, place); });
  }

  void sum(std::span<double> values, std::string_view what) override { sums_.sum(values, what); }
  void mean(std::span<float> values, std::string_view what) override { sums_.mean(values, what); }
  double least(double value, std::string_view what) override { return sums_.least(value, what); }

  void abort(std::string_view reason) override {
    node_.abort(reason);
    if (reducer_) reducer_->abort(reason);
  }

 private:
  StepResult take_step(const StepRequest& request) {
    StepResult result;
    if (buckets_) buckets_->all_ready();
    Decision decision;
    timed(result.wait_s, [&] { // on one node also the barrier for the gradients
      sums_.sum(request.facts, "reducing gradients");
      decision = request.decide(request.facts);
    });
    const bool looks = request.clip_norm > 0 || request.check_finite; // needs the complete sum before any update
    if (buckets_ && (looks || !decision.update)) timed(result.wait_s, [&] { wait_for_buckets(); });
    if (!decision.update) return result;
    if (states_of(decision.hyper) > static_cast<int>(states_.size()))
      throw Error(fmt::format("rank {}: the optimizer needs {} states for each parameter, {} were opened", rank_,
                              states_of(decision.hyper), states_.size()));

    double scale = decision.gradient_scale;
    const float* summed = buckets_ ? buckets_->sums() : gradients();
    std::span<const float* const> sources = gradients_;
    if (buckets_ || looks) sources = {&summed, 1};
    if (looks) {
      double squares = 0;
      timed(result.wait_s, [&] {
        if (!buckets_) sum_shares_in_place();
        squares = sum_of_squares(summed);
      });
      result.grad_norm = std::sqrt(squares) * std::abs(scale);
      if (request.check_finite && !std::isfinite(squares)) return result;
      // As torch.nn.utils.clip_grad_norm_.
      if (request.clip_norm > 0) scale *= std::min(1.0, request.clip_norm / (result.grad_norm + 1e-6));
    }
    for (std::size_t bucket = 0; bucket < shares_.size(); ++bucket) {
      if (buckets_ && !looks) timed(result.wait_s, [&] { buckets_->wait(bucket); });
      timed(result.update_s, [&] { update(decision.hyper, scale, bucket, sources); });
    }
    timed(result.wait_s, [&] { node_.barrier("updating parameters"); });
    result.updated = true;
    return result;
  }

  template <typename Work>
  static void timed(double& sum_s, const Work& work) {
    const double begin = now_s();
    work();
    sum_s += now_s() - begin;
  }

  void wait_for_buckets() {
    for (std::size_t bucket = 0; bucket < shares_.size(); ++bucket) buckets_->wait(bucket);
  }

  /// Each rank sums its shares into its own gradients, which no other rank reads there.
  void sum_shares_in_place() {
    for (const Slice& share : shares_)
      kernels().sum(gradients_.data(), gradients_.size(), share.begin, share.size(), 1, gradients() + share.begin);
  }

  void update(const Hyper& hyper, double scale, std::size_t bucket, std::span<const float* const> sources) {
    UpdateArrays arrays{sources, parameters(), {}};
    for (std::size_t s = 0; s < states_.size(); ++s) arrays.states[s] = state(s) + state_at_[bucket];
    optimizer_.update(hyper, scale, shares_[bucket], arrays);
  }

  /// The sum over all elements, each counted by the rank that owns it; the same bits on all ranks.
  double sum_of_squares(const float* values) {
    double squares = 0;
    // Shares differ between nodes, so their sums could differ in the last bits: only the first node's count.
    if (node_of_[static_cast<std::size_t>(rank_)] == 0)
      for (const Slice& share : shares_) squares += kernels().squares(values + share.begin, share.size());
    sums_.sum({&squares, 1}, "the norm of the gradients");
    return squares;
  }

  float* state(std::size_t s) const { return reinterpret_cast<float*>(states_[s].data()); }

  std::vector<std::size_t> in_order() const {
    std::vector<std::size_t> order(shares_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return shares_[a].begin < shares_[b].begin; });
    return order;
  }

  template <typename Copy>
  void for_shard(int which, std::size_t size, const Copy& copy) {
    if (which < -1 || which >= static_cast<int>(states_.size()) || size != share_elements_)
      throw Error(fmt::format("rank {}: no shard of {} numbers, state {} (it has {} and {} states)", rank_, size, which,
                              share_elements_, states_.size()));
    std::size_t at = 0;
    for (const std::size_t bucket : in_order()) {
      const Slice& share = shares_[bucket];
      float* place = which < 0 ? parameters() + share.begin : state(static_cast<std::size_t>(which)) + state_at_[bucket];
      if (share.size() > 0) copy(at, place, share.size());
      at += share.size();
    }
  }

  int rank_;
  std::vector<int> node_of_;
  FlatLayout layout_;
  std::shared_ptr<InterNodeReducer> reducer_;
  SharedNode node_;
  SmallSums sums_;
  Optimizer optimizer_;
  std::vector<Slice> shares_;         ///< by bucket: the part that this rank updates
  std::vector<std::size_t> state_at_; ///< by bucket: start of its share in the states
  std::size_t share_elements_ = 0;
  std::vector<wire::NodeMemory> states_;
  std::vector<const float*> gradients_;  ///< of the node's ranks
  std::unique_ptr<NodeBuckets> buckets_; ///< with several nodes; last member: its thread uses the others
};

} // namespace

std::unique_ptr<Exchange> open_shared_exchange(const SharedSpec& spec, FlatLayout layout, int states) {
  return std::make_unique<SharedExchange>(spec, std::move(layout), states);
}

} // namespace mgpu::worker::collective
