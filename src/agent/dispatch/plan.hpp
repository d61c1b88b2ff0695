#pragma once
// The batches of a run and their order: pure arithmetic over the manifest.
#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/manifest/manifest.hpp"

namespace mgpu::agent::dispatch {

/// How batches are assigned to ranks.
enum class Schedule : std::uint8_t {
  dynamic, ///< ranks pull from one queue
  block,   ///< rank r has a contiguous part
  cyclic,  ///< batch b belongs to rank b mod ranks
};

/// Throws usage_error for an unknown name.
Schedule parse_schedule(std::string_view name);

/// Items [first, first + count).
struct BatchSpan {
  std::uint64_t first = 0;
  std::uint32_t count = 0;
};

/// Batches depend on the manifest, not on the ranks: batch k holds items k·B … k·B + B − 1, whichever rank runs it. Therefore no
/// schedule changes a result.
class Plan {
 public:
  Plan(std::uint64_t items, std::uint32_t batch_size, Schedule schedule, int ranks);
  /// With costs and priorities of the manifest: higher priority first, then longest first (LPT: Graham 1969, "Bounds on
  /// multiprocessing timing anomalies"), then the manifest's order.
  Plan(const manifest::Manifest& manifest, std::uint32_t batch_size, Schedule schedule, int ranks);

  std::uint64_t items() const { return items_; }
  std::uint64_t batches() const { return batches_; }
  std::uint32_t batch_size() const { return batch_size_; }
  Schedule schedule() const { return schedule_; }
  int ranks() const { return ranks_; }
  BatchSpan span(std::uint64_t batch) const;

  /// Expected cost of a batch, in the manifest's unit; 1 where costs are unknown.
  double cost(std::uint64_t batch) const { return costs_.empty() ? 1.0 : costs_[batch]; }
  bool costs_known() const { return !costs_.empty(); }

  /// Queues: one (dynamic) or one per rank. at(): the `position`th batch of queue `queue`.
  int queues() const { return schedule_ == Schedule::dynamic ? 1 : ranks_; }
  std::uint64_t queue_length(int queue) const;
  std::uint64_t at(int queue, std::uint64_t position) const;

 private:
  std::uint64_t ordered(std::uint64_t position) const { return order_.empty() ? position : order_[position]; }

  std::uint64_t items_, batches_;
  std::uint32_t batch_size_;
  Schedule schedule_;
  int ranks_;
  std::vector<float> costs_;         ///< by batch; empty: unknown
  std::vector<std::uint64_t> order_; ///< dynamic: all batches; else queue after queue; empty: identity
};

/// Expected work of each rank: exact for static schedules; for dynamic as if every batch took its cost.
struct Assignment {
  std::uint64_t batches = 0, items = 0;
  double cost = 0;
  std::vector<std::uint64_t> first_items; ///< a few, for the printed plan
};
std::vector<Assignment> expected_assignment(const Plan& plan, std::size_t examples = 3);

} // namespace mgpu::agent::dispatch
