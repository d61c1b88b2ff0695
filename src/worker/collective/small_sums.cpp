#include "worker/collective/small_sums.hpp"

#include <algorithm>

#include "mgpu/error.hpp"

namespace mgpu::worker::collective {

namespace {

constexpr std::size_t least_room = 64; ///< numbers that a rank can publish at once between nodes

int count_nodes(const std::vector<int>& node_of) {
  return 1 + *std::max_element(node_of.begin(), node_of.end());
}

} // namespace

std::size_t SmallSums::area_numbers(const std::vector<int>& node_of) {
  return count_nodes(node_of) == 1 ? 0 : std::max(SharedNode::slot_numbers, least_room * node_of.size());
}

SmallSums::SmallSums(SharedNode& node, const std::vector<int>& node_of, InterNodeReducer* reducer)
    : node_(node), reducer_(reducer), world_size_(static_cast<int>(node_of.size())), nodes_(count_nodes(node_of)) {
  room_ = alone() ? SharedNode::slot_numbers : area_numbers(node_of) / node_of.size();
}

void SmallSums::over_nodes(void* place, std::size_t count, NumberType type, std::string_view what) {
  if (reducer_ != nullptr) {
    try {
      const InterNodeSum sum{++sums_ | std::uint64_t{1} << 63, Stream::numbers, node_.offset_of(place), count, type};
      reducer_->begin(sum);
      reducer_->wait(sum.id, node_.timeout_s(), what);
    } catch (const Error& error) {
      node_.abort(error.what()); // the other ranks of the node wait for this one
      throw;
    }
  }
  node_.barrier(what);
}

/// Publishes this rank's values; shown(rank) then returns those of each rank, until this rank's next call.
void SmallSums::show(std::span<const double> values, std::string_view what) {
  turn_ = !turn_;
  std::copy(values.begin(), values.end(), node_.slot(node_.local_rank(), turn_));
  node_.barrier(what);
  if (alone()) return;
  // Every node has zeros for the ranks of other nodes: the sum over nodes is exact, and each rank can add in the order of ranks.
  const std::size_t numbers = values.size() * static_cast<std::size_t>(world_size_);
  if (reducer_ != nullptr) {
    std::fill_n(node_.area(), std::max<std::size_t>(numbers, 1), 0.0);
    for (int local = 0; local < node_.local_size(); ++local)
      std::copy_n(node_.slot(local, turn_), values.size(),
                  node_.area() + values.size() * static_cast<std::size_t>(node_.rank_of(local)));
  }
  over_nodes(node_.area(), std::max<std::size_t>(numbers, 1), NumberType::float64, what);
}

const double* SmallSums::shown(int rank, std::size_t count) const {
  return alone() ? node_.slot(rank, turn_) : node_.area() + count * static_cast<std::size_t>(rank);
}

void SmallSums::sum(std::span<double> values, std::string_view what) {
  do {
    const auto part = values.first(std::min(values.size(), room_));
    show(part, what);
    std::fill(part.begin(), part.end(), 0.0);
    for (int rank = 0; rank < world_size_; ++rank) {
      const double* numbers = shown(rank, part.size());
      for (std::size_t i = 0; i < part.size(); ++i) part[i] += numbers[i];
    }
    values = values.subspan(part.size());
  } while (!values.empty());
}

double SmallSums::least(double value, std::string_view what) {
  show({&value, 1}, what);
  for (int rank = 0; rank < world_size_; ++rank) value = std::min(value, *shown(rank, 1));
  return value;
}

void SmallSums::mean(std::span<float> values, std::string_view what) {
  std::vector<double> sums;
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), SharedNode::slot_numbers));
    turn_ = !turn_;
    std::copy(part.begin(), part.end(), node_.slot(node_.local_rank(), turn_));
    node_.barrier(what);
    const double* total = node_.area();
    if (alone() || reducer_ != nullptr) {
      sums.assign(part.size(), 0.0);
      for (int local = 0; local < node_.local_size(); ++local)
        for (std::size_t i = 0; i < part.size(); ++i) sums[i] += node_.slot(local, turn_)[i];
      if (alone()) total = sums.data();
    }
    if (!alone()) {
      // Only the node's sum is sent: buffers are too large for one row per rank.
      if (reducer_ != nullptr) std::copy(sums.begin(), sums.end(), node_.area());
      over_nodes(node_.area(), part.size(), NumberType::float64, what);
    }
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>(total[i] / world_size_);
    values = values.subspan(part.size());
  }
}

} // namespace mgpu::worker::collective
