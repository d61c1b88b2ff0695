#include "agent/dispatch/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <queue>

namespace mgpu::agent::dispatch {

Schedule parse_schedule(std::string_view name) {
  if (name == "dynamic") return Schedule::dynamic;
  if (name == "block") return Schedule::block;
  if (name == "cyclic") return Schedule::cyclic;
  throw usage_error(fmt::format("--schedule {}: it is dynamic, block or cyclic", name));
}

Plan::Plan(std::uint64_t items, std::uint32_t batch_size, Schedule schedule, int ranks)
    : items_(items),
      batches_((items + batch_size - 1) / batch_size),
      batch_size_(batch_size),
      schedule_(schedule),
      ranks_(ranks) {}

Plan::Plan(const manifest::Manifest& manifest, std::uint32_t batch_size, Schedule schedule, int ranks)
    : Plan(manifest.size(), batch_size, schedule, ranks) {
  const std::vector<float>& item_costs = manifest.costs();
  const std::vector<std::int32_t>& item_priorities = manifest.priorities();
  if (item_costs.empty() && item_priorities.empty()) return;

  std::vector<std::int32_t> priorities;
  if (!item_costs.empty()) costs_.resize(batches_);
  if (!item_priorities.empty()) priorities.resize(batches_);
  for (std::uint64_t batch = 0; batch < batches_; ++batch) {
    const BatchSpan range = span(batch);
    const auto first = static_cast<std::ptrdiff_t>(range.first);
    const auto last = first + static_cast<std::ptrdiff_t>(range.count);
    if (!costs_.empty()) costs_[batch] = std::accumulate(item_costs.begin() + first, item_costs.begin() + last, 0.0F);
    if (!priorities.empty())
      priorities[batch] = *std::max_element(item_priorities.begin() + first, item_priorities.begin() + last);
  }

  // Static schedules fix the rank of each batch; the order within a queue is free.
  const auto sort_queue = [&](auto begin, auto end) {
    std::stable_sort(begin, end, [&](std::uint64_t a, std::uint64_t b) {
      if (!priorities.empty() && priorities[a] != priorities[b]) return priorities[a] > priorities[b];
      return !costs_.empty() && costs_[a] > costs_[b];
    });
  };
  std::vector<std::uint64_t> order(batches_);
  auto out = order.begin();
  for (int queue = 0; queue < queues(); ++queue) {
    const auto begin = out;
    for (std::uint64_t position = 0; position < queue_length(queue); ++position) *out++ = at(queue, position);
    sort_queue(begin, out);
  }
  order_ = std::move(order);
}

BatchSpan Plan::span(std::uint64_t batch) const {
  const std::uint64_t first = batch * batch_size_;
  return {first, static_cast<std::uint32_t>(std::min<std::uint64_t>(batch_size_, items_ - first))};
}

namespace {
std::uint64_t block_begin(std::uint64_t batches, int rank, int ranks) {
  return batches * static_cast<std::uint64_t>(rank) / static_cast<std::uint64_t>(ranks);
}
std::uint64_t cyclic_length(std::uint64_t batches, int rank, int ranks) {
  const auto step = static_cast<std::uint64_t>(ranks);
  return (batches + step - 1 - static_cast<std::uint64_t>(rank)) / step;
}
} // namespace

std::uint64_t Plan::queue_length(int queue) const {
  switch (schedule_) {
    case Schedule::dynamic:
      return batches_;
    case Schedule::block:
      return block_begin(batches_, queue + 1, ranks_) - block_begin(batches_, queue, ranks_);
    case Schedule::cyclic:
      return cyclic_length(batches_, queue, ranks_);
  }
  return 0;
}

std::uint64_t Plan::at(int queue, std::uint64_t position) const {
  switch (schedule_) {
    case Schedule::dynamic:
      return ordered(position);
    case Schedule::block:
      return ordered(block_begin(batches_, queue, ranks_) + position);
    case Schedule::cyclic: {
      if (order_.empty()) return position * static_cast<std::uint64_t>(ranks_) + static_cast<std::uint64_t>(queue);
      std::uint64_t begin = 0;
      for (int before = 0; before < queue; ++before) begin += cyclic_length(batches_, before, ranks_);
      return order_[begin + position];
    }
  }
  return 0;
}

std::vector<Assignment> expected_assignment(const Plan& plan, std::size_t examples) {
  std::vector<Assignment> assignments(static_cast<std::size_t>(plan.ranks()));
  const auto give = [&](std::size_t rank, std::uint64_t batch) {
    Assignment& assignment = assignments[rank];
    const BatchSpan range = plan.span(batch);
    ++assignment.batches;
    assignment.items += range.count;
    assignment.cost += plan.cost(batch);
    for (std::uint64_t item = range.first; item < range.first + range.count && assignment.first_items.size() < examples; ++item)
      assignment.first_items.push_back(item);
  };
  if (plan.schedule() != Schedule::dynamic) {
    for (int rank = 0; rank < plan.ranks(); ++rank)
      for (std::uint64_t position = 0; position < plan.queue_length(rank); ++position)
        give(static_cast<std::size_t>(rank), plan.at(rank, position));
    return assignments;
  }
  // Each batch to the rank that is free first.
  using Free = std::pair<double, std::size_t>;
  std::priority_queue<Free, std::vector<Free>, std::greater<>> free;
  for (std::size_t rank = 0; rank < assignments.size(); ++rank) free.emplace(0.0, rank);
  for (std::uint64_t position = 0; position < plan.batches(); ++position) {
    const std::uint64_t batch = plan.at(0, position);
    const auto [time, rank] = free.top();
    free.pop();
    give(rank, batch);
    free.emplace(time + plan.cost(batch), rank);
  }
  return assignments;
}

} // namespace mgpu::agent::dispatch
