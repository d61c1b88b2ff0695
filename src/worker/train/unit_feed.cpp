#include "worker/train/unit_feed.hpp"
#include "common/wire/items_messages.hpp"
#include "worker/device/torch.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mgpu::worker::train {

UnitFeed::UnitFeed(const Training& training, Prefetcher::Prepare prepare, Prefetcher::Settings settings, TraceEvents& trace,
                   DeviceStreams& streams, Next next)
    : training_(training),
      streams_(streams),
      next_(std::move(next)),
      ahead_(std::max<std::size_t>(settings.buffers, 2)),
      prefetcher_(std::move(prepare), std::move(settings), trace) {
  top_up();
}

void UnitFeed::top_up() {
  while (!ended_ && in_hand_ < ahead_) {
    wire::BatchRange range;
    if (next_(range)) {
      prefetcher_.add(std::move(range));
      ++in_hand_;
    } else {
      ended_ = true;
      prefetcher_.close();
    }
  }
}

std::optional<Unit> UnitFeed::take() {
  if (!staged_) {
    auto loaded = prefetcher_.take();
    if (loaded == nullptr) return std::nullopt;
    staged_ = stage(std::move(loaded));
  }
  Unit unit = std::move(*staged_);
  staged_.reset();
  if (streams_.overlaps())
    if (auto loaded = prefetcher_.try_take()) staged_ = stage(std::move(loaded));
  streams_.await(unit.uploaded);
  return unit;
}

void UnitFeed::done(Unit unit) {
  streams_.finish(unit.uploaded.ready); // the host rows are no longer read
  prefetcher_.recycle(std::move(unit.loaded));
  --in_hand_;
  top_up();
}

Unit UnitFeed::stage(std::unique_ptr<LoadedBatch> loaded) {
  Unit unit;
  std::vector<std::int64_t> good;
  static const std::any none;
  for (std::size_t row = 0; row < loaded->rows(); ++row) {
    if (!loaded->ok(row)) continue;
    good.push_back(static_cast<std::int64_t>(row));
    unit.batch.items.push_back(&loaded->range.items[row]);
    unit.batch.extra.push_back(&loaded->samples[row].extra);
    unit.batch.ok.push_back(true);
  }
  torch::Tensor input = loaded->input, lengths = loaded->lengths;
  if (good.size() < loaded->rows() && !good.empty()) {
    const torch::Tensor index = torch::tensor(good, torch::kLong);
    input = input.index_select(0, index);
    if (lengths.defined()) lengths = lengths.index_select(0, index);
  }
  unit.batch.input = input;
  unit.batch.lengths = unit.batch.host_lengths = lengths;
  if (!good.empty()) unit.batch.host_targets = targets_of(training_, unit.batch);
  unit.uploaded = streams_.upload(input, lengths, unit.batch.host_targets);
  unit.batch.input = unit.uploaded.input;
  unit.batch.lengths = unit.uploaded.lengths;
  unit.batch.targets = unit.uploaded.targets;
  unit.loaded = std::move(loaded);
  return unit;
}

std::vector<torch::Tensor> targets_of(const Training& training, const Batch& rows) {
  std::vector<torch::Tensor> targets = training.targets(rows);
  for (const torch::Tensor& target : targets)
    if (!target.defined() || target.dim() == 0 || target.size(0) != rows.size())
      throw Error(fmt::format("the job made targets that are not rows: {} of them are needed in each tensor", rows.size()));
  return targets;
}

Batch rows_of(const Batch& batch, std::int64_t begin, std::int64_t end) {
  if (begin == 0 && end == batch.size()) return batch;
  Batch part;
  if (batch.input.defined()) part.input = batch.input.narrow(0, begin, end - begin);
  if (batch.lengths.defined()) part.lengths = batch.lengths.narrow(0, begin, end - begin);
  if (batch.host_lengths.defined()) part.host_lengths = batch.host_lengths.narrow(0, begin, end - begin);
  for (const torch::Tensor& target : batch.targets) part.targets.push_back(target.narrow(0, begin, end - begin));
  for (const torch::Tensor& target : batch.host_targets) part.host_targets.push_back(target.narrow(0, begin, end - begin));
  part.items.assign(batch.items.begin() + begin, batch.items.begin() + end);
  part.extra.assign(batch.extra.begin() + begin, batch.extra.begin() + end);
  part.ok.assign(static_cast<std::size_t>(end - begin), true);
  return part;
}

} // namespace mgpu::worker::train
