#include "worker/train/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "common/support/stage_plan.hpp"
#include "common/support/text.hpp"
#include "worker/train/sampler.hpp"

namespace mgpu::worker::train {

namespace {

template <typename Enum, std::size_t N>
Enum choose(const std::string& text, const std::pair<const char*, Enum> (&choices)[N], const char* option) {
  for (const auto& [name, value] : choices)
    if (text == name) return value;
  throw usage_error(fmt::format("--{}: '{}' is not known", option, text));
}

std::vector<Stage> read_stages(const Config& config) {
  std::vector<Stage> stages;
  if (config.has("stages") && config.json().at("stages").is_array())
    for (const nlohmann::json& json : config.json().at("stages")) {
      Stage stage;
      stage.name = json.value("name", fmt::format("stage {}", stages.size() + 1));
      stage.epochs = json.value("epochs", 1u);
      stage.lr = json.value("lr", config.get<double>("lr"));
      stage.freeze = json.value("freeze", std::vector<std::string>{});
      stage.train_last = json.value("train_last", 1.0);
      stage.batch_size = json.value("batch_size", std::int64_t{0});
      stage.augment_strength = json.value("augment_strength", 1.0);
      stage.subset = json.value("subset", 1.0);
      stages.push_back(std::move(stage));
    }
  if (stages.empty()) {
    Stage stage;
    stage.epochs = config.get<std::uint32_t>("epochs");
    stage.lr = config.get<double>("lr");
    stages.push_back(std::move(stage));
  }
  return stages;
}

collective::Hyper read_hyper(const Config& config) {
  collective::Hyper hyper;
  hyper.kind = choose<collective::OptimizerKind>(
      config.get<std::string>("optimizer"),
      {{"sgd", collective::OptimizerKind::sgd}, {"adamw", collective::OptimizerKind::adamw}}, "optimizer");
  hyper.momentum = config.get<double>("momentum");
  hyper.nesterov = config.get<bool>("nesterov");
  hyper.weight_decay = config.get<double>("weight-decay");
  hyper.beta1 = config.get<double>("beta1");
  hyper.beta2 = config.get<double>("beta2");
  hyper.eps = config.get<double>("eps");
  return hyper;
}

} // namespace

std::uint64_t Period::in_steps(std::uint64_t steps_an_epoch) const {
  if (steps > 0) return steps;
  if (epochs == 0) return 0;
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(epochs * static_cast<double>(steps_an_epoch))));
}

Period parse_period(const std::string& text, const std::string& option) {
  Period period;
  if (text.empty() || text == "0") return period;
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (problem != std::errc() || !(value >= 0) || (unit != "" && unit != "e") || (unit.empty() && value != std::floor(value)))
    throw usage_error(fmt::format("--{} {}: epochs such as 1e or 0.5e, or a whole number of steps", option, text));
  if (unit == "e")
    period.epochs = value;
  else
    period.steps = static_cast<std::uint64_t>(value);
  return period;
}

Settings Settings::read(const Config& config) {
  Settings settings;
  settings.stages = read_stages(config);
  settings.hyper = read_hyper(config);
  settings.decay_norms = !config.get<bool>("no-decay-norms");
  settings.lr_rule =
      choose<LrRule>(config.get<std::string>("lr-schedule"),
                     {{"constant", LrRule::constant}, {"step", LrRule::step}, {"cosine", LrRule::cosine}}, "lr-schedule");
  settings.lr_scaling =
      choose<LrScaling>(config.get<std::string>("lr-scaling"),
                        {{"none", LrScaling::none}, {"linear", LrScaling::linear}, {"sqrt", LrScaling::sqrt}}, "lr-scaling");
  settings.lr_min = config.get<double>("lr-min");
  settings.lr_gamma = config.get<double>("lr-gamma");
  settings.lr_step_epochs = std::max(config.get<std::uint32_t>("lr-step-epochs"), 1u);
  settings.lr_reference_batch = config.get<std::int64_t>("lr-reference-batch");
  settings.warmup = parse_period(config.get<std::string>("warmup"), "warmup");
  settings.max_steps = config.get<std::uint64_t>("max-steps");
  settings.global_batch = config.get<std::int64_t>("global-batch");
  settings.accumulate = std::max<std::int64_t>(config.get<std::int64_t>("accumulate"), 1);
  settings.clip_norm = config.get<double>("clip-norm");
  settings.seed = config.get<std::uint64_t>("seed");
  settings.shuffle = !config.get<bool>("no-shuffle");
  settings.validate_every = parse_period(config.get<std::string>("validate-every"), "validate-every");
  settings.checkpoint_every = parse_period(config.get<std::string>("checkpoint-every"), "checkpoint-every");
  settings.find_unused = config.get<bool>("find-unused-parameters");
  settings.shard_optimizer = config.get<bool>("shard-optimizer");
  settings.compress = config.get<std::string>("gradient-compression") == "bfloat16";
  settings.cuda_graph = config.get<bool>("cuda-graph");
  settings.max_nonfinite = config.get<std::uint32_t>("max-nonfinite");
  settings.reduce_timeout_s = config.get<double>("reduce-timeout");
  settings.checkpoints = config.get<std::string>("checkpoint-dir");
  settings.save = config.get<std::string>("save");
  settings.fault = config.get<std::string>("fault");
  return settings;
}

std::vector<bool> frozen(const Stage& stage, const std::vector<std::string>& names) {
  std::vector<std::string> layers;
  std::vector<std::size_t> layer_of;
  for (const std::string& name : names) {
    const std::string layer = name.substr(0, std::min(name.rfind('.'), name.size()));
    const auto found = std::find(layers.begin(), layers.end(), layer);
    layer_of.push_back(static_cast<std::size_t>(found - layers.begin()));
    if (found == layers.end()) layers.push_back(layer);
  }
  const auto trained = static_cast<std::size_t>(std::llround(stage.train_last * static_cast<double>(layers.size())));
  const std::size_t first = layers.size() - std::clamp<std::size_t>(trained, 1, std::max<std::size_t>(layers.size(), 1));
  for (const std::string& prefix : stage.freeze)
    if (std::none_of(names.begin(), names.end(), [&](const auto& name) { return name.starts_with(prefix); }))
      throw usage_error(fmt::format("stage {}: freeze = \"{}\": no parameter's name begins so; they are {}", stage.name, prefix,
                                    listed(names, "parameters")));
  std::vector<bool> frozen;
  for (std::size_t at = 0; at < names.size(); ++at)
    frozen.push_back(layer_of[at] < first || std::any_of(stage.freeze.begin(), stage.freeze.end(),
                                                         [&](const auto& prefix) { return names[at].starts_with(prefix); }));
  return frozen;
}

Plan::Plan(const Settings& settings, std::uint64_t items, std::int64_t batch_size, int world_size) : settings_(settings) {
  for (const Stage& stage : settings.stages) {
    StagePlan plan;
    plan.batch_size = stage.batch_size > 0 ? stage.batch_size : batch_size;
    const StageNumbers numbers = stage_numbers({.items = items,
                                                .subset = stage.subset,
                                                .batch_size = plan.batch_size,
                                                .global_batch = settings.global_batch,
                                                .accumulate = settings.accumulate,
                                                .ranks = world_size,
                                                .epochs = stage.epochs,
                                                .first_step = steps,
                                                .max_steps = settings.max_steps});
    plan.items = numbers.items;
    plan.global_batch = numbers.global_batch;
    plan.steps_an_epoch = numbers.steps_an_epoch;
    plan.first_step = steps;
    plan.steps = numbers.steps;
    steps += plan.steps;
    const auto reference = static_cast<double>(settings.lr_reference_batch > 0 ? settings.lr_reference_batch : plan.batch_size);
    const double ratio = static_cast<double>(plan.global_batch) / reference;
    plan.lr = stage.lr;
    if (settings.lr_scaling == LrScaling::linear) plan.lr *= ratio;
    if (settings.lr_scaling == LrScaling::sqrt) plan.lr *= std::sqrt(ratio);
    if (stages.empty()) plan.warmup_steps = std::min(settings.warmup.in_steps(plan.steps_an_epoch), plan.steps);
    stages.push_back(plan);
  }
}

std::size_t Plan::stage_of(std::uint64_t step) const {
  std::size_t stage = 0;
  while (stage + 1 < stages.size() && step >= stages[stage + 1].first_step) ++stage;
  return stage;
}

std::uint32_t Plan::epoch_of(std::uint64_t step) const {
  const StagePlan& stage = stages[stage_of(step)];
  return static_cast<std::uint32_t>((step - stage.first_step) / stage.steps_an_epoch);
}

std::uint64_t Plan::step_in_epoch(std::uint64_t step) const {
  const StagePlan& stage = stages[stage_of(step)];
  return (step - stage.first_step) % stage.steps_an_epoch;
}

std::uint32_t Plan::epoch_number(std::uint64_t step) const {
  std::uint32_t before = 1;
  for (std::size_t stage = 0; stage < stage_of(step); ++stage) before += settings_.stages[stage].epochs;
  return before + epoch_of(step);
}

std::uint64_t Plan::samples(std::uint64_t step) const {
  const StagePlan& stage = stages[stage_of(step)];
  const auto global = static_cast<std::uint64_t>(stage.global_batch);
  return std::min(global, stage.items - step_in_epoch(step) * global);
}

std::optional<std::uint64_t> Plan::step_with_single_sample(int world_size) const {
  const auto ranks = static_cast<std::uint64_t>(world_size);
  for (const StagePlan& stage : stages) {
    const auto rows = static_cast<std::uint64_t>(stage.batch_size);
    // All steps of an epoch but the last have the same size.
    for (const std::uint64_t at : {std::uint64_t{0}, stage.steps_an_epoch - 1}) {
      if (at >= stage.steps) continue;
      const std::uint64_t step = stage.first_step + at;
      for (std::uint64_t rank = 0; rank < ranks; ++rank) {
        const Range mine = share(samples(step), rank, ranks);
        if (mine.size() > 0 && (rows == 1 || mine.size() % rows == 1)) return step;
      }
    }
  }
  return std::nullopt;
}

double Plan::lr(std::uint64_t step) const {
  const StagePlan& stage = stages[stage_of(step)];
  const std::uint64_t at = step - stage.first_step;
  if (at < stage.warmup_steps) return stage.lr * static_cast<double>(at + 1) / static_cast<double>(stage.warmup_steps);
  switch (settings_.lr_rule) {
    case LrRule::constant:
      break;
    case LrRule::step:
      return stage.lr * std::pow(settings_.lr_gamma, epoch_of(step) / settings_.lr_step_epochs);
    case LrRule::cosine: {
      const auto t = static_cast<double>(at - stage.warmup_steps);
      const auto whole = static_cast<double>(stage.steps - stage.warmup_steps);
      return settings_.lr_min + (stage.lr - settings_.lr_min) * (1 + std::cos(std::numbers::pi * t / whole)) / 2;
    }
  }
  return stage.lr;
}

bool Plan::due(const Period& every, std::uint64_t step) const {
  if (every.never()) return false;
  const StagePlan& stage = stages[stage_of(step)];
  const std::uint64_t done = step - stage.first_step + 1;
  return done == stage.steps || done % every.in_steps(stage.steps_an_epoch) == 0;
}

} // namespace mgpu::worker::train
