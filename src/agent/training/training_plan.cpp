#include "agent/training/training_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "agent/coordinator/report.hpp"
#include "common/support/say.hpp"
#include "common/support/stage_plan.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent {

namespace {

using nlohmann::json;

/// Default micro-batches.
constexpr std::int64_t gpu_batch = 64;
constexpr std::int64_t cpu_batch = 32;
constexpr std::int64_t quick_steps = 3, quick_epochs = 2;

/// Whether a stage has its own batch size: its global batch then depends on the number of ranks.
bool stages_have_batches(const Config& config) {
  const json& stages = config.json().at("stages");
  return std::any_of(stages.begin(), stages.end(), [](const json& stage) { return stage.contains("batch_size"); });
}

/// A resumed training keeps its global batch and the reference of its learning rate for any number of ranks.
void take_over(const Checkpoint& checkpoint, int ranks, Config& config) {
  const auto batch = checkpoint.json.value("global_batch", std::int64_t{0});
  const auto reference = checkpoint.json.value("lr_reference", std::int64_t{0});
  if (stages_have_batches(config)) {
    if (const int before = checkpoint.json.value("world_size", ranks); before != ranks)
      throw usage_error(
          fmt::format("--resume: {} ranks made this checkpoint; as its stages have batch sizes of their own, resume it on as "
                      "many (not {})",
                      before, ranks));
    return;
  }
  if (batch > 0) config.set("global-batch", batch);
  if (reference > 0 && config.get<std::int64_t>("lr-reference-batch") == 0) config.set("lr-reference-batch", reference);
}

/// Throws unless every rank gets a sample in each micro-batch. Shares may differ: the mean is over all samples.
void require_enough(std::int64_t global, std::int64_t least, int ranks, std::int64_t accumulate) {
  if (global < least)
    throw usage_error(fmt::format("--global-batch {}: less than a sample for each of {} rank(s){}", global, ranks,
                                  accumulate > 1 ? fmt::format(" × --accumulate {}", accumulate) : ""));
}

void quick_test(const RunSetup& setup, const TrainingPlan& plan, Config& config) {
  json stages = config.json().at("stages");
  if (stages.empty()) stages.push_back({{"name", "quick test"}, {"lr", config.get<double>("lr")}});
  for (json& stage : stages) {
    const double samples = static_cast<double>(quick_steps * plan.global_batch);
    stage["epochs"] = quick_epochs;
    stage["subset"] = std::min(1.0, samples / static_cast<double>(setup.manifest.size()));
  }
  config.set("stages", stages);
  config.set("batch-size", std::to_string(plan.batch_size)); // no search for a larger one
}

std::uint64_t count_epochs(const Config& config) {
  const json& stages = config.json().at("stages");
  if (stages.empty()) return config.get<std::uint64_t>("epochs");
  std::uint64_t epochs = 0;
  for (const json& stage : stages) epochs += stage.at("epochs").get<std::uint64_t>();
  return epochs;
}

/// The same values and arithmetic as in the worker (worker/train/settings.cpp).
StageRequest request_of(const json& stage, const RunSetup& setup, const TrainingPlan& plan, const Config& config, int ranks) {
  return {.items = setup.manifest.size(),
          .subset = stage.value("subset", 1.0),
          .batch_size = stage.value("batch_size", plan.batch_size),
          .global_batch = config.get<std::int64_t>("global-batch"),
          .accumulate = config.get<std::int64_t>("accumulate"),
          .ranks = ranks,
          .epochs = stage.at("epochs").get<std::uint64_t>(),
          .first_step = 0,
          .max_steps = config.get<std::uint64_t>("max-steps")};
}

/// The factor of --lr-scaling.
double lr_factor(const Config& config, std::int64_t global_batch, std::int64_t batch_size) {
  const auto reference = config.get<std::int64_t>("lr-reference-batch");
  const double ratio = static_cast<double>(global_batch) / static_cast<double>(reference > 0 ? reference : batch_size);
  const auto scaling = config.get<std::string>("lr-scaling");
  return scaling == "linear" ? ratio : scaling == "sqrt" ? std::sqrt(ratio) : 1.0;
}

void print_stages(const RunSetup& setup, const TrainingPlan& plan, const Config& config, int ranks) {
  std::vector<std::string> lines;
  std::uint64_t steps = 0;
  for (const json& stage : config.json().at("stages")) {
    StageRequest request = request_of(stage, setup, plan, config, ranks);
    request.first_step = steps;
    const StageNumbers numbers = stage_numbers(request);
    steps += numbers.steps;
    const double lr = stage.at("lr").get<double>() * lr_factor(config, numbers.global_batch, request.batch_size);
    lines.push_back(fmt::format(
        "  stage {}: {} epochs of {} steps of {} samples{}, learning rate {:.6g}{}\n",
        printable(stage.value("name", "without a name")), request.epochs, numbers.steps_an_epoch, numbers.global_batch,
        numbers.items < request.items ? fmt::format(" ({} of the items)", numbers.items) : "", lr,
        numbers.steps < numbers.steps_an_epoch * request.epochs ? fmt::format("; {} steps of it (--max-steps)", numbers.steps)
                                                                : ""));
  }
  say("  {} epochs in {} stages, {} steps in all; {}, {}\n", plan.epochs, lines.size(), steps,
      config.get<std::string>("optimizer"), config.get<std::string>("lr-schedule"));
  for (const std::string& line : lines) say("{}", line);
}

void print_epochs(const TrainingPlan& plan, const Config& config) {
  const auto lr = config.get<double>("lr");
  const auto most = config.get<std::uint64_t>("max-steps");
  say("  {} epochs of {} steps{}; {}, learning rate {:.6g}{}, {}\n", plan.epochs, plan.steps_an_epoch,
      most > 0 && most < plan.epochs * plan.steps_an_epoch ? fmt::format(", {} steps of it (--max-steps)", most) : "",
      config.get<std::string>("optimizer"), lr * plan.lr_factor,
      plan.lr_factor == 1 ? "" : fmt::format(" ({:.6g} × {:.6g}, {})", lr, plan.lr_factor, config.get<std::string>("lr-scaling")),
      config.get<std::string>("lr-schedule"));
}

} // namespace

TrainingPlan plan_training(const RunSetup& setup, int ranks, bool gpu, Config& config) {
  if (setup.manifest.size() < static_cast<std::uint64_t>(ranks))
    throw usage_error(
        fmt::format("--input: {} item(s) for {} ranks: some would have nothing to train", setup.manifest.size(), ranks));
  const auto& begin = setup.training->begin;
  const auto accumulate = config.get<std::int64_t>("accumulate");
  auto global = config.get<std::int64_t>("global-batch");
  if (global > 0 && !begin) require_enough(global, ranks * accumulate, ranks, accumulate); // a resume may have more ranks
  if (begin) take_over(*begin, ranks, config);
  const bool chosen = global > 0;
  global = config.get<std::int64_t>("global-batch");
  const std::int64_t share = (global + ranks - 1) / ranks;

  TrainingPlan plan;
  plan.batch_size = setup.batch_size;
  plan.batch_found = setup.batch_size == 0 && gpu && !begin && !config.get<bool>("quick-test");
  if (plan.batch_size == 0) {
    plan.batch_size = chosen && accumulate > 1 ? (share + accumulate - 1) / accumulate : gpu ? gpu_batch : cpu_batch;
    if (begin) plan.batch_size = begin->json.value("batch_size", plan.batch_size);
  } else if (chosen && accumulate > 1 && plan.batch_size * accumulate * ranks != global) {
    throw usage_error(
        fmt::format("--global-batch {} is not {} rank(s) × --batch-size {} × --accumulate {} = {}; leave one of them out", global,
                    ranks, plan.batch_size, accumulate, plan.batch_size * accumulate * ranks));
  }
  plan = with_batch(plan, setup, ranks, plan.batch_size, config);
  if (!config.get<bool>("quick-test")) return plan;
  quick_test(setup, plan, config);
  return with_batch(plan, setup, ranks, plan.batch_size, config);
}

TrainingPlan with_batch(const TrainingPlan& before, const RunSetup& setup, int ranks, std::int64_t batch_size,
                        const Config& config) {
  TrainingPlan plan = before;
  const auto global = config.get<std::int64_t>("global-batch");
  plan.batch_size = global > 0 ? std::min(batch_size, (global + ranks - 1) / ranks) : batch_size;
  plan.global_batch = global > 0 ? global : plan.batch_size * config.get<std::int64_t>("accumulate") * ranks;
  const auto samples = static_cast<std::uint64_t>(plan.global_batch);
  plan.steps_an_epoch = (setup.manifest.size() + samples - 1) / samples;
  if (config.get<bool>("quick-test")) plan.steps_an_epoch = std::min<std::uint64_t>(plan.steps_an_epoch, quick_steps);
  plan.epochs = count_epochs(config);
  const auto reference = config.get<std::int64_t>("lr-reference-batch");
  plan.lr_reference = reference > 0 ? reference : plan.batch_size;
  plan.lr_factor = lr_factor(config, plan.global_batch, plan.batch_size);
  return plan;
}

void print_training_plan(const RunSetup& setup, const TrainingPlan& plan, const Config& config, const RankTable& rank_table,
                         const std::vector<comm::Binding>& bindings) {
  const TrainingSetup& training = *setup.training;
  say("Plan: {} items to train{}{}, {} rank(s)\n", setup.manifest.size(),
      training.validation ? fmt::format(", {} to validate", training.validation->manifest.size()) : "",
      training.classes.empty() ? "" : fmt::format(", {} classes", training.classes.size()), rank_table.size());
  say("  global batch {}: {} rank(s) × {} × {}{}\n", plan.global_batch, rank_table.size(), plan.batch_size,
      std::max<std::int64_t>(
          1, (plan.global_batch + plan.batch_size * rank_table.size() - 1) / (plan.batch_size * rank_table.size())),
      plan.batch_found ? " (or what fits the GPUs)" : "");
  if (config.json().at("stages").empty())
    print_epochs(plan, config);
  else
    print_stages(setup, plan, config, rank_table.size());
  const auto keep = config.get<std::int64_t>("keep-checkpoints");
  say("  checkpoints: every {} in {}{}\n", config.get<std::string>("checkpoint-every"), show_path(training.checkpoints),
      keep > 0 ? fmt::format(", {} kept", keep) : "");
  if (training.begin) say("  resuming from step {}, {}\n", training.begin->step, show_path(training.begin->folder));
  std::vector<std::vector<std::string>> rows{{"rank", "host", "device", "cores", "threads", "loaders"}};
  for (std::size_t rank = 0; rank < bindings.size() && rank < most_rows_shown; ++rank) {
    const RankState& state = rank_table.at(static_cast<int>(rank));
    const comm::Binding& binding = bindings[rank];
    rows.push_back({std::to_string(rank), state.join->host, device_name(state, binding), core_list(binding.cores),
                    std::to_string(binding.threads), std::to_string(binding.loaders)});
  }
  say("{}", table(rows, {true, false, false, false, true, true}));
  if (setup.manifest.size() < static_cast<std::uint64_t>(plan.global_batch))
    say("  advice: the training set is smaller than a global batch: every epoch is one step\n");
  std::fflush(stdout);
}

} // namespace mgpu::agent
