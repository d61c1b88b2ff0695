// The options of training, in the order help shows them.
#include <algorithm>

#include "mgpu/training_job.hpp"

namespace mgpu {

namespace {

std::vector<OptionSpec> data_options() {
  return {
      {"validate", "", "held-out items: folder, list or table, as --input", "PATH"},
      {"validate-every", "1e", "how often: epochs such as 1e, or steps", "Ne|N"},
      {"seed", 0, "of shuffling and augmentation", "N"},
      {"no-shuffle", false, "take the items in the manifest's order, every epoch"},
      {"augment", "",
       "auto, or any of crop, flip, colour (pictures), time_mask, frequency_mask, gain (sound); crop=0.3 gives the amount",
       "LIST"},
      {"augment-strength", 1.0, "how much augmentation changes; 0: nothing", "X"},
      {"cache", "auto", "decoded samples kept in memory: auto (when they fit), none, or MB a rank", "auto|none|MB"},
  };
}

std::vector<OptionSpec> rule_options() {
  return {
      {"loss",
       "cross_entropy",
       "what is made small; output: the network's own scalar output",
       "NAME",
       {"cross_entropy", "bce", "mse", "ctc", "output"}},
      {"label-smoothing", 0.0, "share of the truth given to all classes (cross_entropy)", "X"},
      {"optimizer", "sgd", "how parameters follow their gradients", "NAME", {"sgd", "adamw"}},
      {"lr", 0.0, "learning rate before scaling; 0: 0.1 for sgd, 0.001 for adamw", "X"},
      {"lr-scaling", "none", "how the rate grows with global batch / --lr-reference-batch", "RULE", {"none", "linear", "sqrt"}},
      {"lr-reference-batch", 0, "the batch that --lr was chosen for; 0: one rank's batch", "N"},
      {"lr-schedule", "constant", "how the rate goes after the warm-up", "NAME", {"constant", "step", "cosine"}},
      {"lr-step-epochs", 30, "step: epochs between falls", "N"},
      {"lr-gamma", 0.1, "step: factor of a fall", "X"},
      {"lr-min", 0.0, "cosine: the rate at the end", "X"},
      {"warmup", "0", "linear rise of the rate at the beginning: epochs such as 5e, or steps", "Ne|N"},
      {"momentum", 0.9, "sgd", "X"},
      {"nesterov", false, "sgd: Nesterov's momentum"},
      {"weight-decay", 0.0, "sgd: L2 penalty; adamw: decoupled decay", "X"},
      {"no-decay-norms", false, "biases and norms are not decayed"},
      {"beta1", 0.9, "adamw", "X"},
      {"beta2", 0.999, "adamw", "X"},
      {"eps", 1e-8, "adamw", "X"},
      {"clip-norm", 0.0, "gradients are scaled down to this global norm; 0: never", "X"},
  };
}

std::vector<OptionSpec> run_options() {
  return {
      {"epochs", 10, "passes over the training set", "N"},
      {"max-steps", 0, "end after this many optimiser steps; 0: after --epochs", "N"},
      {"global-batch", 0, "samples an optimiser step, whatever the ranks; 0: ranks × --batch-size × --accumulate", "N"},
      {"accumulate", 1, "micro-batches an optimiser step", "K"},
      {"stages", "", "parts with rules of their own: a TOML file of [[stage]], or the presets gentle and aggressive",
       "FILE|NAME"},
      {"find-unused", false, "allow parameters that a step does not use"},
      {"gradient-compression", "none", "number format in which gradients travel", "TYPE", {"none", "bfloat16"}},
      {"cuda-graph", false, "GPUs: record forward and backward once, then replay them (rows of one shape)"},
      {"shard-optimizer", false, "each rank keeps its share of the optimiser's state (ZeRO-1)"},
      {"max-nonfinite", 10, "steps in a row whose loss or gradients may be infinite or NaN", "N"},
      {"reduce-timeout", 300.0, "seconds a rank waits for the others in a step", "SECONDS"},
  };
}

std::vector<OptionSpec> output_options() {
  return {
      {"save", "", "the trained network (the best one where there is a validation), ready for infer", "FILE.pt"},
      {"checkpoints", "", "folder for checkpoints; default: OUTPUT.checkpoints", "FOLDER"},
      {"checkpoint-every", "1e", "how often: epochs such as 1e, or steps; 0: never", "Ne|N"},
      {"min-ranks", 0,
       "go on with fewer ranks, at the same global batch, when a rank is lost, but not with fewer than this; 0: never", "N"},
      {"keep", 3, "whole checkpoints kept, the newest; 0: all", "N"},
      {"experiment-name", "",
       "folder runs/NAME with config.json, logs/, checkpoints/, best.pt and result.h5, unless these are given", "NAME"},
      {"quick-test", false, "a few steps of everything: 2 epochs of 3 steps, validation, checkpoint, save"},
  };
}

} // namespace

std::vector<OptionSpec> TrainingJob::options() const {
  std::vector<OptionSpec> options = BundleJob::options();
  // A training tells no classes, and decodes its pictures on the CPU.
  std::erase_if(options, [](const OptionSpec& option) { return option.name == "topk" || option.name == "decode"; });
  for (OptionSpec& option : options)
    if (option.name == "label-column") {
      option.default_value = "label";
      option.help = "column of the tables with the truth; folders are labelled by their class folders";
    }
  for (const auto& more : {data_options(), rule_options(), run_options(), output_options()})
    options.insert(options.end(), more.begin(), more.end());
  return options;
}

} // namespace mgpu
