#include "worker/train/active_stage.hpp"

#include <utility>

namespace mgpu::worker::train {

ActiveStage::ActiveStage(const Environment& environment, const DataFeeds& feeds, const DataSets& data, const Plan& plan,
                         std::size_t stage, FlatNetwork network, collective::Exchange& exchange, Recorder* recorder,
                         std::uint64_t first_step, TimeSplit& times)
    : feeds_(feeds),
      batch_size_(plan.stages[stage].batch_size),
      augment_strength_(environment.settings.stages[stage].augment_strength),
      gradients_(std::move(network), exchange, environment.context.device),
      graphs_(recorder == nullptr
                  ? nullptr
                  : std::make_unique<StepGraphs>(*recorder, environment.training, gradients_, exchange, environment.context)),
      pass_(environment, graphs_.get(), times),
      rows_(plan, stage,
            Sampler(data.train.size(), environment.settings.seed, environment.settings.shuffle,
                    environment.settings.stages[stage].subset),
            data.train, environment.context.rank, environment.context.world_size, first_step) {
  exchange.broadcast_parameters();
}

UnitFeed& ActiveStage::feed() {
  if (feed_ == nullptr)
    feed_ = feeds_.open_train(batch_size_, augment_strength_, [this](wire::BatchRange& range) { return rows_.next(range); });
  return *feed_;
}

} // namespace mgpu::worker::train
