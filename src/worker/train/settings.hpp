#pragma once
// The settings of a training, read from the options once, and its plan in steps: pure arithmetic.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mgpu/config.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::train {

enum class LrRule : std::uint8_t { constant, step, cosine };
enum class LrScaling : std::uint8_t { none, linear, sqrt };

/// "5e" (epochs) or "500" (steps).
struct Period {
  double epochs = 0;
  std::uint64_t steps = 0;
  bool never() const { return epochs == 0 && steps == 0; }
  /// In steps, at least 1 unless never.
  std::uint64_t in_steps(std::uint64_t steps_an_epoch) const;
};

/// Throws usage_error naming `option`.
Period parse_period(const std::string& text, const std::string& option);

/// A part of the training with its own settings.
struct Stage {
  std::string name;
  std::uint32_t epochs = 1;
  double lr = 0;                   ///< before scaling
  std::vector<std::string> freeze; ///< prefixes of names of parameters that are not trained
  std::int64_t batch_size = 0;     ///< per rank; 0: the run's
  double augment_strength = 1;     ///< factor of --augment-strength
  double subset = 1;               ///< share of the training set
  double train_last = 1;           ///< share of the layers that are trained, counted from the network's end; at least one layer
};

struct Settings {
  std::vector<Stage> stages; ///< at least one
  collective::Hyper hyper;   ///< lr and step are set for every step
  bool decay_norms = true;
  LrRule lr_rule = LrRule::constant;
  LrScaling lr_scaling = LrScaling::none;
  double lr_min = 0, lr_gamma = 0.1;
  std::uint32_t lr_step_epochs = 30;
  std::int64_t lr_reference_batch = 0; ///< 0: one rank's batch
  Period warmup;
  std::uint64_t max_steps = 0;
  std::int64_t global_batch = 0; ///< 0: ranks × batch × accumulate
  std::int64_t accumulate = 1;
  double clip_norm = 0;
  std::uint64_t seed = 0;
  bool shuffle = true;
  Period validate_every, checkpoint_every;
  bool find_unused = false, shard_optimizer = false, compress = false, cuda_graph = false;
  std::uint32_t max_nonfinite = 10;
  double reduce_timeout_s = 300;
  std::string checkpoints, save, fault;
  std::uint32_t attempt = 1; ///< 1 + restarts of this run; for faults

  static Settings read(const Config& config);
};

/// True for each of `names` (parameters in the network's order) that `stage` does not train. A layer is a module with its own
/// parameters: "layer4.1.bn2" of "layer4.1.bn2.weight".
std::vector<bool> frozen(const Stage& stage, const std::vector<std::string>& names);

/// The numbers of one stage.
struct StagePlan {
  std::uint64_t items = 0;       ///< items of the training set in use
  std::int64_t batch_size = 1;   ///< rows that a rank loads at once; the largest micro-batch
  std::int64_t global_batch = 1; ///< samples per full optimizer step
  std::uint64_t steps_an_epoch = 1;
  std::uint64_t first_step = 0; ///< of the whole training, counted from 0
  std::uint64_t steps = 1;
  double lr = 0;                  ///< peak, after scaling
  std::uint64_t warmup_steps = 0; ///< first stage only
};

/// The whole training, stage by stage. `batch_size`: per rank, for stages without their own.
struct Plan {
  Plan(const Settings& settings, std::uint64_t items, std::int64_t batch_size, int world_size);

  std::vector<StagePlan> stages;
  std::uint64_t steps = 0; ///< of all stages, at most --max-steps

  /// The stage of step `step` (counted from 0).
  std::size_t stage_of(std::uint64_t step) const;
  /// Epoch within the stage, from 0, and the step within the epoch.
  std::uint32_t epoch_of(std::uint64_t step) const;
  std::uint64_t step_in_epoch(std::uint64_t step) const;
  /// Number of the epoch, counted from 1 over the whole training.
  std::uint32_t epoch_number(std::uint64_t step) const;
  /// Number of samples in a step: the last one of an epoch may be smaller.
  std::uint64_t samples(std::uint64_t step) const;
  /// The first step in which a rank computes a single sample, on which batch norm cannot be trained; nullopt if there is none.
  std::optional<std::uint64_t> step_with_single_sample(int world_size) const;
  /// Learning rate of a step. Warm-up rises linearly, (k+1)/warmup at its step k; cosine is torch's CosineAnnealingLR over the steps after it:
  /// min + (peak − min)(1 + cos(π t / T)) / 2; step multiplies by gamma every lr_step_epochs epochs of the stage.
  double lr(std::uint64_t step) const;
  /// Whether an action with period `every` is due after `step`; always after the last step of a stage; never if `every` is never.
  bool due(const Period& every, std::uint64_t step) const;

 private:
  Settings settings_;
};

} // namespace mgpu::worker::train
