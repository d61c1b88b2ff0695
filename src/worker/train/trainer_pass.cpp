// Forward and backward of one rank's rows.
#include <fmt/format.h>

#include <algorithm>

#include "common/wire/training_messages.hpp"
#include "worker/device/reason.hpp"
#include "worker/train/forward.hpp"
#include "worker/train/step_sums.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int run_thread = 1; ///< thread id in the trace

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

std::vector<std::uint64_t> rows_in_list(const Batch& batch) {
  std::vector<std::uint64_t> rows;
  for (const Item* item : batch.items) rows.push_back(item->index);
  return rows;
}

} // namespace

void Trainer::run_unit(Unit& unit, bool last, StepSums& sums) {
  report_skipped(*unit.loaded, wire::DataPart::train);
  const std::int64_t rows = unit.batch.size();
  sums.skipped += static_cast<std::int64_t>(unit.loaded->rows()) - rows;
  skipped_ += static_cast<std::uint64_t>(unit.loaded->rows()) - static_cast<std::uint64_t>(rows);
  const std::vector<bool> none(gradients_->network().placed.size(), false);
  for (std::int64_t begin = 0; begin < rows;) {
    const std::int64_t end = std::min(rows, begin + micro_.rows());
    run_rows(unit.batch, begin, end, last && end == rows, none, sums);
    begin = end;
  }
  samples_ += static_cast<std::uint64_t>(rows);
}

/// Forward and backward of some rows. When memory runs out, what autograd had finished is kept and the halves go on with the rest, so
/// that every sample counts exactly once.
void Trainer::run_rows(const Batch& batch, std::int64_t begin, std::int64_t end, bool last, const std::vector<bool>& finished,
                       StepSums& sums) {
  const std::int64_t rows = end - begin;
  gradients_->begin_part(last, finished);
  std::vector<bool> done;
  try {
    const Batch part = rows_of(batch, begin, end);
    // Dropout and the like depend on the step and the rows, not on what happened before: a resumed run draws the same numbers.
    torch::manual_seed(visit_seed(settings_.seed + 1, step_, part.items.front()->index));
    faults_.before_step(step_ + 1, settings_.attempt);
    faults_.before_rows_of_step(step_ + 1, rows);
    const double weight = static_cast<double>(rows) / static_cast<double>(plan_->samples(step_)) * loss_scale_.scale();
    std::optional<torch::Tensor> loss = recorded_pass(part, weight, last, finished);
    if (!loss) loss = pass(part, weight);
    sums.losses.emplace_back(*loss, rows);
    sums.items.push_back(rows_in_list(part));
    sums.rows += rows;
    ++sums.backwards;
    return;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    if (rows < 2)
      throw Error(fmt::format("one sample alone does not fit into memory (item {})",
                              batch.items[static_cast<std::size_t>(begin)]->index));
    done = gradients_->finished();
  }
  if (graphs_ != nullptr) graphs_->drop(); // their memory may be what is missing
  streams_.free_cache();
  micro_.halve(rows);
  ++sums.out_of_memory;
  reports_.log(2, fmt::format("out of memory with {} rows at step {}: micro-batches of {} from now on, the global batch stays",
                              rows, step_ + 1, micro_.rows()));
  const std::int64_t middle = begin + rows / 2;
  run_rows(batch, begin, middle, false, done, sums);
  run_rows(batch, middle, end, last, done, sums);
}

/// The loss of these rows, detached; their gradients, times `weight`, are in place or on their way.
torch::Tensor Trainer::pass(const Batch& rows, double weight) {
  const auto began = Clock::now();
  torch::Tensor loss = forward_loss(training_, rows, context_);
  if (faults_.spoils_step(step_ + 1)) loss = loss * std::numeric_limits<double>::quiet_NaN();
  const auto between = Clock::now();
  loss.backward(torch::full_like(loss, weight));
  const auto ended = Clock::now();
  times_.forward_s += seconds(between - began);
  times_.backward_s += seconds(ended - between);
  trace_.span("forward", run_thread, step_, began, between);
  trace_.span("backward", run_thread, step_, between, ended);
  return loss.detach();
}

/// As pass(), recorded or replayed with --cuda-graph; nullopt where these rows must be run as usual. Its time counts as forward.
std::optional<torch::Tensor> Trainer::recorded_pass(const Batch& rows, double weight, bool last,
                                                    const std::vector<bool>& finished) {
  const bool in_parts = std::find(finished.begin(), finished.end(), true) != finished.end();
  if (graphs_ == nullptr || in_parts || faults_.spoils_step(step_ + 1)) return std::nullopt;
  const auto began = Clock::now();
  std::optional<torch::Tensor> loss = graphs_->run(rows, weight, last);
  if (!loss) return loss;
  const auto ended = Clock::now();
  times_.forward_s += seconds(ended - began);
  trace_.span("forward and backward", run_thread, step_, began, ended);
  return loss;
}

} // namespace mgpu::worker::train
