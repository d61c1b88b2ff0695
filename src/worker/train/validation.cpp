#include "worker/train/validation.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "worker/device/torch.hpp"
#include "worker/train/probe.hpp"
#include "worker/train/sampler.hpp"

namespace mgpu::worker::train {

namespace {

/// Adds the sums over all ranks and divides them. All ranks have the same names, in the order of `sums`.
wire::Metrics reduce(const Sums& sums, const std::vector<std::string>& labels, collective::Exchange& exchange) {
  std::vector<double> numbers;
  for (const auto& [name, mean] : sums.means) numbers.insert(numbers.end(), {mean.first, mean.second});
  for (const auto& [right, all] : sums.classes) numbers.insert(numbers.end(), {right, all});
  exchange.sum(numbers, "validation");

  wire::Metrics metrics;
  std::size_t at = 0;
  for (const auto& [name, mean] : sums.means) {
    metrics.values.push_back({name, numbers[at] / numbers[at + 1]});
    at += 2;
  }
  for (const std::string& label : labels) {
    metrics.classes.push_back({label, numbers[at] / numbers[at + 1]});
    metrics.class_items.push_back(static_cast<std::uint64_t>(numbers[at + 1]));
    at += 2;
  }
  return metrics;
}

} // namespace

wire::Metrics Validation::run(collective::Exchange& exchange, std::int64_t batch_size) {
  Training& training = environment_.training;
  training.set_training(false);
  Sums sums;
  {
    const torch::NoGradGuard no_grad;
    evaluate_share(batch_size, sums);
  }
  training.set_training(true);
  const std::vector<std::string> labels = training.labels();
  sums.classes.resize(labels.size());
  return reduce(sums, labels, exchange);
}

/// A rank without usable rows evaluates a trial row to get the names of the sums, and sets them to zero.
void Validation::evaluate_share(std::int64_t batch_size, Sums& sums) {
  Training& training = environment_.training;
  const RankContext& context = environment_.context;
  const Range mine =
      share(data_.validation.size(), static_cast<std::uint64_t>(context.rank), static_cast<std::uint64_t>(context.world_size));
  const auto rows = static_cast<std::uint64_t>(batch_size);
  std::uint64_t next = mine.begin;
  const auto next_range = [&](wire::BatchRange& range) {
    for (const std::uint64_t end = std::min(next + rows, mine.end); next < end; ++next)
      range.items.push_back(data_.validation[next]);
    return !range.items.empty();
  };
  const std::unique_ptr<UnitFeed> feed = feeds_.open_validation(batch_size, next_range);
  while (std::optional<Unit> unit = feed->take()) {
    skipped_.report(*unit->loaded, wire::DataPart::validation);
    if (unit->batch.size() > 0) training.evaluate(unit->batch, sums);
    feed->done(std::move(*unit));
  }
  if (!sums.means.empty()) return;
  training.evaluate(TrialBatch(training, data_.validation, 1, context.device).batch, sums);
  for (auto& [name, mean] : sums.means) mean = {0, 0};
  for (auto& each : sums.classes) each = {0, 0};
}

} // namespace mgpu::worker::train
