#include "worker/train/local_batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"
#include "worker/device/reason.hpp"

namespace mgpu::worker::train {

namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::uint64_t> rows_in_list(const Batch& batch) {
  std::vector<std::uint64_t> rows;
  for (const Item* item : batch.items) rows.push_back(item->index);
  return rows;
}

} // namespace

LocalBatch::LocalBatch(const Environment& environment, ActiveStage& stage, MicroBatch& micro_batch, SkippedItems& skipped,
                       Totals& totals, const Step& step)
    : environment_(environment), stage_(stage), micro_batch_(micro_batch), skipped_(skipped), totals_(totals), step_(step) {}

StepSums LocalBatch::run() {
  UnitFeed& feed = stage_.feed();
  const std::uint64_t units = stage_.units(step_.number);
  environment_.training.set_training(true);
  stage_.gradients().begin_step();
  for (std::uint64_t index = 0; index < units; ++index) {
    const auto asked = Clock::now();
    std::optional<Unit> unit = feed.take();
    totals_.times.load_wait_s += seconds(Clock::now() - asked);
    if (!unit) throw Error("the loaders ended before the training did");
    run_unit(*unit, index + 1 == units);
    feed.done(std::move(*unit));
    ++totals_.units;
  }
  totals_.times.load_s += feed.take_load_s();
  check_unused();
  return std::move(sums_);
}

void LocalBatch::run_unit(const Unit& unit, bool last) {
  skipped_.report(*unit.loaded, wire::DataPart::train);
  const std::int64_t rows = unit.batch.size();
  const std::int64_t skipped = static_cast<std::int64_t>(unit.loaded->rows()) - rows;
  sums_.skipped += skipped;
  totals_.skipped += static_cast<std::uint64_t>(skipped);
  const std::vector<bool> none(stage_.gradients().network().placed.size(), false);
  for (std::int64_t begin = 0; begin < rows;) {
    const std::int64_t end = std::min(rows, begin + micro_batch_.rows());
    run_rows(unit.batch, begin, end, last && end == rows, none);
    begin = end;
  }
  totals_.samples += static_cast<std::uint64_t>(rows);
}

/// When memory runs out, finished gradients are kept and the halves compute the others, so that every sample counts exactly once.
void LocalBatch::run_rows(const Batch& batch, std::int64_t begin, std::int64_t end, bool last,
                          const std::vector<bool>& finished) {
  const std::int64_t rows = end - begin;
  stage_.gradients().begin_part(last, finished);
  std::vector<bool> done;
  try {
    const Batch part = rows_of(batch, begin, end);
    const double weight = static_cast<double>(rows) / static_cast<double>(step_.samples) * step_.loss_scale;
    sums_.losses.emplace_back(stage_.pass().run(part, weight, step_.number, last, finished), rows);
    sums_.items.push_back(rows_in_list(part));
    sums_.rows += rows;
    ++sums_.backwards;
    return;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    if (rows < 2)
      throw Error(fmt::format("one sample alone does not fit into memory (item {})",
                              batch.items[static_cast<std::size_t>(begin)]->index));
    done = stage_.gradients().finished();
  }
  stage_.pass().drop_recordings(); // frees their memory
  environment_.streams.free_cache();
  micro_batch_.halve(rows);
  ++sums_.out_of_memory;
  environment_.log(
      2, fmt::format("out of memory with {} rows at step {}: micro-batches of {} from now on, the global batch stays", rows,
                     step_.number + 1, micro_batch_.rows()));
  const std::int64_t middle = begin + rows / 2;
  run_rows(batch, begin, middle, false, done);
  run_rows(batch, middle, end, last, done);
}

void LocalBatch::check_unused() {
  const std::vector<std::string> unused = stage_.gradients().end_step();
  // A rank without samples in a small last batch has no gradients.
  if (environment_.settings.find_unused || unused.empty() || unused.size() == stage_.gradients().network().placed.size()) return;
  throw Error(fmt::format(
      "parameter {} took no part in the loss of step {} ({} such in all); if that is meant, give --find-unused-parameters",
      unused.front(), step_.number + 1, unused.size()));
}

} // namespace mgpu::worker::train
