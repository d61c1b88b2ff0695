//
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "agent/coordinator/report.hpp"
#include "agent/training/training_report.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

namespace {

constexpr std::size_t most_classes_shown = 20;

void print_classes(const wire::Metrics& metrics) {
  std::vector<std::vector<std::string>> rows{{"class", "items", "accuracy"}};
  for (std::size_t at = 0; at < metrics.classes.size() && at < most_classes_shown; ++at)
    rows.push_back({metrics.classes[at].name, at < metrics.class_items.size() ? std::to_string(metrics.class_items[at]) : "",
                    fmt::format("{:.2f} %", 100 * metrics.classes[at].value)});
  say("{}", table(rows, {false, true, true}));
  if (metrics.classes.size() > most_classes_shown)
    say("  … and {} more classes (/training/class_accuracy)\n", metrics.classes.size() - most_classes_shown);
}

/// A validation for the summary: its step and its values by name; empty if there was none.
nlohmann::json values_of(const std::optional<wire::Metrics>& metrics) {
  nlohmann::json json = nlohmann::json::object();
  if (!metrics) return json;
  json["step"] = metrics->step;
  for (const wire::Metric& metric : metrics->values) json[metric.name] = metric.value;
  return json;
}

} // namespace

void print_training_table(const std::vector<write::RankRow>& ranks, const std::optional<wire::Metrics>& last,
                          const std::optional<wire::Metrics>& best) {
  std::vector<std::vector<std::string>> rows{{"rank", "host", "device", "samples", "samples/s", "waiting for data", "forward",
                                              "backward", "waiting for ranks", "optimizer", "memory"}};
  for (std::size_t at = 0; at < ranks.size() && at < most_rows_shown; ++at) {
    const write::RankRow& row = ranks[at];
    rows.push_back({std::to_string(row.rank), row.host, row.device, std::to_string(row.items),
                    row.wall_s > 0 ? fmt::format("{:.1f}", static_cast<double>(row.items) / row.wall_s) : "-",
                    percent(row.load_wait_s, row.wall_s), percent(row.forward_s, row.wall_s), percent(row.backward_s, row.wall_s),
                    percent(row.reduce_wait_s, row.wall_s), percent(row.update_s, row.wall_s),
                    human_bytes(static_cast<double>(row.memory_bytes))});
  }
  say("\n{}", table(rows, {true, false, false, true, true, true, true, true, true, true, true}));
  if (const std::string sentence = training_bottleneck(ranks); !sentence.empty()) say("{}\n", sentence);
  if (last && !last->classes.empty()) print_classes(*last);
  if (last) say("Last validation, step {}: {}\n", last->step, describe(*last));
  if (best) say("Best validation, step {}: {}\n", best->step, describe(*best));
}

std::string training_bottleneck(const std::vector<write::RankRow>& ranks) {
  const auto mean = [&](auto share) {
    double sum = 0;
    for (const write::RankRow& row : ranks) sum += row.wall_s > 0 ? share(row) / row.wall_s : 0;
    return ranks.empty() ? 0.0 : sum / static_cast<double>(ranks.size());
  };
  struct Part {
    double share;
    std::string_view name, advice;
  };
  const std::array<Part, 4> parts{{
      {mean([](const auto& row) { return row.forward_s + row.backward_s; }), "the network itself",
       "more or faster ranks would help"},
      {mean([](const auto& row) { return row.load_wait_s; }), "loading",
       "more cores, --loaders, or a --cache that holds the data would help"},
      {mean([](const auto& row) { return row.reduce_wait_s; }), "waiting for other ranks",
       "larger batches or --accumulate would help"},
      {mean([](const auto& row) { return row.update_s; }), "the optimizer", "larger batches or --shard-optimizer would help"},
  }};
  const Part& most =
      *std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.share < b.share; });
  if (most.share <= 0) return "";
  return fmt::format("The bottleneck was {}: {:.0f} % of the ranks' time; {}.", most.name, 100 * most.share, most.advice);
}

void print_training_end(const RunSetup& setup, const Outcome& outcome, const TrainingProgress& progress, const TrainingEnd& end) {
  say("{} steps, {} samples in {} ({:.1f} samples/s)", end.step, end.samples, human_duration(outcome.run_s),
      outcome.run_s > 0 ? static_cast<double>(end.samples) / outcome.run_s : 0.0);
  if (progress.last()) say(", last loss {:.4f}", progress.last()->loss);
  say("; {} items skipped; ranks ready after {}\n", end.skipped, human_duration(outcome.open_s));
  if (end.complete) {
    say("Result: {}\n", setup.output);
    if (!end.network.empty()) say("Network: {}\n", end.network);
  } else {
    say("Stopped early{}{}. {}; the same command with --resume continues.\n", end.stopped.empty() ? "" : ": ", end.stopped,
        end.last_checkpoint.empty() ? "No checkpoint was written in this run"
                                    : fmt::format("The checkpoint {} is kept", show_path(end.last_checkpoint)));
  }
  std::fflush(stdout);
}

nlohmann::json training_summary(const Outcome& outcome, const TrainingProgress& progress, const TrainingEnd& end,
                                const std::optional<wire::Metrics>& last, const std::optional<wire::Metrics>& best) {
  const auto& step = progress.last();
  return {{"steps", step ? step->step : 0},
          {"total_steps", progress.total()},
          {"epochs", step ? step->epoch : 0},
          {"samples", end.samples},
          {"samples_per_second", outcome.run_s > 0 ? static_cast<double>(end.samples) / outcome.run_s : 0.0},
          {"global_batch", end.global_batch},
          {"loss", step ? nlohmann::json(step->loss) : nlohmann::json()},
          {"validation", values_of(last)},
          {"best", values_of(best)},
          {"skipped", end.skipped},
          {"checkpoint", end.last_checkpoint},
          {"saved", end.network}};
}

} // namespace mgpu::agent
