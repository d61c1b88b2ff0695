#pragma once
#include <cstdint>
#include <memory>

#include "worker/collective/exchange.hpp"
#include "worker/train/data_feeds.hpp"
#include "worker/train/environment.hpp"
#include "worker/train/gradients.hpp"
#include "worker/train/pass.hpp"
#include "worker/train/recorder.hpp"
#include "worker/train/settings.hpp"
#include "worker/train/step_graphs.hpp"
#include "worker/train/totals.hpp"
#include "worker/train/unit_sequence.hpp"

namespace mgpu::worker::train {

/// A rank's objects for one stage: gradients in the flat buffers, recorded passes that write there, and the rank's rows.
class ActiveStage {
 public:
  /// Moves the trained parameters (`network`) into `exchange` and copies rank 0's values: all ranks open a stage together.
  /// `recorder` null: no pass is recorded. `first_step`: of the whole training, from 0. All but `network` must outlive this
  /// object.
  ActiveStage(const Environment& environment, const DataFeeds& feeds, const DataSets& data, const Plan& plan, std::size_t stage,
              FlatNetwork network, collective::Exchange& exchange, Recorder* recorder, std::uint64_t first_step,
              TimeSplit& times);
  ActiveStage(const ActiveStage&) = delete;
  ActiveStage& operator=(const ActiveStage&) = delete;

  Gradients& gradients() { return gradients_; }
  Pass& pass() { return pass_; }
  /// This rank's rows in order. The first call starts the loaders: restore a checkpoint before it.
  UnitFeed& feed();
  /// Number of this rank's units in a step.
  std::uint64_t units(std::uint64_t step) const { return rows_.units(step); }

 private:
  const DataFeeds& feeds_;
  std::int64_t batch_size_;
  double augment_strength_;
  Gradients gradients_;
  std::unique_ptr<StepGraphs> graphs_;
  Pass pass_;
  UnitSequence rows_;
  std::unique_ptr<UnitFeed> feed_; ///< last member: its loaders end first
};

} // namespace mgpu::worker::train
