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
      {"augment-strength", 1.0, "strength of augmentation; 0: none", "X"},
      {"cache", "auto", "decoded samples kept in memory: auto (when they fit), none, or MB per rank", "auto|none|MB"},
  };
}

std::vector<OptionSpec> rule_options() {
  return {
      {"loss",
       "cross_entropy",
       "loss function; output: the network's own scalar output",
       "NAME",
       {"cross_entropy", "bce", "mse", "ctc", "output"}},
      {"label-smoothing", 0.0, "label smoothing, 0 to 1 (cross_entropy)", "X"},
      {"optimizer", "sgd", "optimizer", "NAME", {"sgd", "adamw"}},
      {"lr", 0.0, "learning rate before scaling; 0: 0.1 for sgd, 0.001 for adamw", "X"},
      {"lr-scaling",
       "none",
       "how the learning rate scales with global batch / --lr-reference-batch",
       "RULE",
       {"none", "linear", "sqrt"}},
      {"lr-reference-batch", 0, "the batch that --lr was chosen for; 0: one rank's batch", "N"},
      {"lr-schedule", "constant", "learning-rate schedule after the warm-up", "NAME", {"constant", "step", "cosine"}},
      {"lr-step-epochs", 30, "step: epochs between decays", "N"},
      {"lr-gamma", 0.1, "step: decay factor", "X"},
      {"lr-min", 0.0, "cosine: final learning rate", "X"},
      {"warmup", "0", "linear learning-rate warm-up: epochs such as 5e, or steps", "Ne|N"},
      {"momentum", 0.9, "momentum (sgd)", "X"},
      {"nesterov", false, "Nesterov momentum (sgd)"},
      {"weight-decay", 0.0, "sgd: L2 penalty; adamw: decoupled decay", "X"},
      {"no-decay-norms", false, "no weight decay for biases and norms"},
      {"beta1", 0.9, "decay rate of the first moment (adamw)", "X"},
      {"beta2", 0.999, "decay rate of the second moment (adamw)", "X"},
      {"eps", 1e-8, "term added to the denominator (adamw)", "X"},
      {"clip-norm", 0.0, "clip gradients to this global norm; 0: off", "X"},
  };
}

std::vector<OptionSpec> run_options() {
  return {
      {"epochs", 10, "passes over the training set", "N"},
      {"max-steps", 0, "stop after this many optimizer steps; 0: after --epochs", "N"},
      {"global-batch", 0, "samples per optimizer step, for any number of ranks; 0: ranks × --batch-size × --accumulate", "N"},
      {"accumulate", 1, "micro-batches per optimizer step", "K"},
      {"stages", "",
       "stages of the training with settings of their own: a TOML file of [[stage]], or the presets gentle and aggressive",
       "FILE|NAME"},
      {"find-unused-parameters", false, "allow parameters that a step does not use"},
      {"gradient-compression", "none", "number format of gradients in the all-reduce", "TYPE", {"none", "bfloat16"}},
      {"cuda-graph", false, "GPUs: record forward and backward once, then replay them (rows of one shape)"},
      {"shard-optimizer", false, "each rank keeps its share of the optimizer state (ZeRO-1)"},
      {"max-nonfinite", 10, "stop after this many steps in a row with an infinite or NaN loss", "N"},
      {"reduce-timeout", 300.0, "seconds a rank waits for the others in a step", "SECONDS"},
  };
}

std::vector<OptionSpec> output_options() {
  return {
      {"save", "", "the trained network (the best one where there is a validation), ready for infer", "FILE.pt"},
      {"checkpoint-dir", "", "folder for checkpoints; default: OUTPUT.checkpoints", "FOLDER"},
      {"checkpoint-every", "1e", "how often: epochs such as 1e, or steps; 0: never", "Ne|N"},
      {"min-ranks", 0, "when a rank is lost, continue with fewer ranks at the same global batch, down to this many; 0: never",
       "N"},
      {"keep-checkpoints", 3, "number of checkpoints kept, the newest; 0: all", "N"},
      {"experiment-name", "",
       "folder runs/NAME with config.json, logs/, checkpoints/, best.pt and result.h5, unless these are given", "NAME"},
      {"quick-test", false, "a few steps of everything: 2 epochs of 3 steps, validation, checkpoint, save"},
  };
}

} // namespace

std::vector<OptionSpec> TrainingJob::options() const {
  std::vector<OptionSpec> options = BundleJob::options();
  // A training outputs no classes, and decodes its pictures on the CPU.
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
