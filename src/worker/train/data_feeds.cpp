#include "worker/train/data_feeds.hpp"

#include "mgpu/error.hpp"
#include "worker/train/sampler.hpp"

namespace mgpu::worker::train {

std::unique_ptr<UnitFeed> DataFeeds::open_train(std::int64_t batch_size, double strength, UnitFeed::Next next) const {
  auto prepare_row = [this, strength](const wire::BatchRange& range, std::size_t row, Sample& sample) {
    const Item& item = range.items[row];
    prepare(wire::DataPart::train, item, {visit_seed(environment_.settings.seed, range.epoch, item.index), strength}, sample);
  };
  return std::make_unique<UnitFeed>(environment_.training, prepare_row, loader_settings(wire::DataPart::train, batch_size),
                                    environment_.trace, environment_.streams, std::move(next));
}

std::unique_ptr<UnitFeed> DataFeeds::open_validation(std::int64_t batch_size, UnitFeed::Next next) const {
  auto prepare_row = [this](const wire::BatchRange& range, std::size_t row, Sample& sample) {
    const Item& item = range.items[row];
    prepare(wire::DataPart::validation, item, {visit_seed(environment_.settings.seed, 0, item.index), 0.0}, sample);
  };
  return std::make_unique<UnitFeed>(environment_.training, prepare_row, loader_settings(wire::DataPart::validation, batch_size),
                                    environment_.trace, environment_.streams, std::move(next));
}

/// Throws the reason why the item cannot be used.
void DataFeeds::prepare(wire::DataPart part, const Item& item, const Variation& variation, Sample& sample) const {
  if (const auto found = data_.given_up.find({part, item.index}); found != data_.given_up.end()) throw Error(found->second);
  if (part == wire::DataPart::train) environment_.faults.before_item(item.index, environment_.settings.attempt);
  environment_.training.prepare(item, variation, sample);
}

Prefetcher::Settings DataFeeds::loader_settings(wire::DataPart part, std::int64_t batch_size) const {
  const int loaders = environment_.context.loaders;
  Prefetcher::Settings settings;
  settings.activity_table = &activity_table_;
  settings.doing = part == wire::DataPart::train ? wire::Doing::preparing : wire::Doing::preparing_validation;
  settings.threads = loaders;
  settings.batch_size = batch_size;
  settings.buffers = 2 + static_cast<std::size_t>((loaders + batch_size - 1) / batch_size);
  settings.row_spec = environment_.training.row_spec();
  settings.inference = false;
  settings.allocate = [this](at::IntArrayRef shape, torch::ScalarType type) {
    return environment_.streams.host_tensor(shape, type);
  };
  return settings;
}

} // namespace mgpu::worker::train
