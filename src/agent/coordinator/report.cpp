#include "agent/coordinator/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <set>

#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/support/whole_file.hpp"
#include "common/wire/control_messages.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

std::string first_items(const RunSetup& setup, const dispatch::Assignment& assignment) {
  std::string text;
  for (const std::uint64_t item : assignment.first_items)
    text += fmt::format("{}{}", text.empty() ? "" : " ", setup.first_item() + item);
  if (assignment.items > assignment.first_items.size()) text += " …";
  if (!assignment.first_items.empty()) {
    const std::string path(setup.manifest.path(assignment.first_items.front()));
    text += "  " + show_path(path.substr(path.find_last_of('/') + 1));
  }
  return text;
}

/// "Shard 2/3: items 32 to 63 of the input's 100".
std::string shard_line(const write::ShardIdentity& shard, std::uint64_t items) {
  const std::string text = fmt::format("Shard {}: ", shard.shard.text());
  if (items == 0) return text + fmt::format("none of the input's {} items: there are more shards than batches", shard.all_items);
  return text + fmt::format("items {} to {} of the input's {}", shard.first, shard.first + items - 1, shard.all_items);
}

double average(const std::vector<write::RankRow>& ranks, double write::RankRow::*field, double wall_s) {
  double sum = 0;
  for (const write::RankRow& row : ranks) sum += row.*field;
  return ranks.empty() || wall_s <= 0 ? 0.0 : sum / (wall_s * static_cast<double>(ranks.size()));
}

double items_per_second(const Outcome& outcome) {
  return outcome.run_s > 0 ? static_cast<double>(outcome.done - outcome.earlier) / outcome.run_s : 0;
}

} // namespace

std::string core_list(const std::vector<std::int32_t>& cores) {
  if (cores.empty()) return "any";
  std::string text;
  for (std::size_t at = 0; at < cores.size();) {
    std::size_t end = at;
    while (end + 1 < cores.size() && cores[end + 1] == cores[end] + 1) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ",", cores[at]);
    if (end > at) text += fmt::format("-{}", cores[end]);
    at = end + 1;
  }
  return text;
}

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.0f} %", 100 * part / whole) : "-";
}

std::string device_name(const RankState& state, const comm::Binding& binding) {
  for (const wire::Device& gpu : state.hello->devices)
    if (gpu.index == binding.device) return fmt::format("cuda:{} {}", gpu.index, gpu.name);
  return "cpu";
}

void print_plan(const RunSetup& setup, const dispatch::Plan& plan, const RankTable& rank_table,
                const std::vector<comm::Binding>& bindings) {
  std::set<std::string> nodes;
  for (int rank = 0; rank < rank_table.size(); ++rank) nodes.insert(rank_table.at(rank).join->node);
  constexpr std::string_view schedules[] = {"dynamic", "block", "cyclic"};
  if (setup.shard) say("{}\n", shard_line(*setup.shard, plan.items()));
  say("Plan: {} items in {} batches of {}, {} rank(s) on {} node(s), schedule {}{}\n", plan.items(), plan.batches(),
      plan.batch_size(), rank_table.size(), nodes.size(), schedules[static_cast<std::size_t>(plan.schedule())],
      plan.costs_known() ? ", longest first" : "");
  const auto assignments = dispatch::expected_assignment(plan);
  std::vector<std::vector<std::string>> rows{{"rank", "host", "device", "cores", "threads", "loaders", "items", "first items"}};
  for (std::size_t rank = 0; rank < assignments.size() && rank < most_rows_shown; ++rank) {
    const comm::Binding& binding = bindings[rank];
    const RankState& state = rank_table.at(static_cast<int>(rank));
    rows.push_back({std::to_string(rank), state.join->host, device_name(state, binding), core_list(binding.cores),
                    std::to_string(binding.threads), std::to_string(binding.loaders), std::to_string(assignments[rank].items),
                    first_items(setup, assignments[rank])});
  }
  say("{}", table(rows, {true, false, false, false, true, true, true, false}));
  if (assignments.size() > most_rows_shown) say("  … and {} more ranks\n", assignments.size() - most_rows_shown);
  if (plan.schedule() == dispatch::Schedule::dynamic && rank_table.size() > 1)
    say("  (dynamic: expected; ranks that are faster take more)\n");
  if (plan.batches() < static_cast<std::uint64_t>(rank_table.size()))
    say("  advice: {} batch(es) for {} ranks leave {} idle; use fewer ranks or a smaller --batch-size\n", plan.batches(),
        rank_table.size(), static_cast<std::uint64_t>(rank_table.size()) - plan.batches());
  std::fflush(stdout);
}

std::string opening_line(const RankTable& rank_table) {
  std::string text;
  int shown = 0;
  for (int rank = 0; rank < rank_table.size(); ++rank) {
    const RankState& state = rank_table.at(rank);
    if (state.opened || state.progress.stage.empty() || shown == 4) continue;
    text += fmt::format("{} rank {} {} {:.0f} %", shown == 0 ? "opening the model:" : ",", rank, state.progress.stage,
                        100 * state.progress.fraction);
    ++shown;
  }
  return text;
}

write::RankRow rank_row(int rank, const RankState& state) {
  write::RankRow row;
  row.rank = rank;
  row.host = state.join ? state.join->host : "";
  if (state.opened) {
    row.device = state.opened->device;
    row.uuid = state.opened->uuid;
    row.open_s = state.opened->seconds;
  }
  if (state.stats) {
    const wire::Stats& stats = *state.stats;
    row.items = stats.items;
    row.failed = stats.failed;
    row.batches = stats.batches;
    row.busy_s = stats.busy_s;
    row.load_wait_s = stats.load_wait_s;
    row.write_wait_s = stats.write_wait_s;
    row.grant_wait_s = stats.grant_wait_s;
    row.load_s = stats.load_s;
    row.wall_s = stats.wall_s;
    row.forward_s = stats.forward_s;
    row.backward_s = stats.backward_s;
    row.reduce_wait_s = stats.reduce_wait_s;
    row.update_s = stats.update_s;
    row.memory_bytes = stats.memory_bytes;
  }
  return row;
}

void print_gpus(const RankTable& rank_table) {
  std::size_t shown = 0;
  for (int rank = 0; rank < rank_table.size() && shown < most_rows_shown; ++rank) {
    const RankState& state = rank_table.at(rank);
    const double held_s = state.gpu.held_s();
    if (held_s <= 0 && state.gpu.drained().empty()) continue;
    ++shown;
    std::string text = fmt::format("rank {} on {}: its GPU {}", rank, state.join->host, state.gpu_uuid);
    if (held_s > 0) text += fmt::format(" was too hot for {}", human_duration(held_s));
    if (!state.gpu.drained().empty())
      text += fmt::format("{} failed: {}; it is left out of runs for a day", held_s > 0 ? ", and" : "", state.gpu.drained());
    say("{}\n", text);
  }
}

void print_table(const RunSetup& setup, const Outcome& outcome, const std::vector<write::RankRow>& ranks,
                 const RankTable& rank_table) {
  std::vector<std::vector<std::string>> rows{
      {"rank", "host", "device", "items", "failed", "items/s", "busy", "waiting for data", "memory"}};
  for (std::size_t at = 0; at < ranks.size() && at < most_rows_shown; ++at) {
    const write::RankRow& row = ranks[at];
    rows.push_back({std::to_string(row.rank), row.host, row.device, std::to_string(row.items), std::to_string(row.failed),
                    row.wall_s > 0 ? fmt::format("{:.1f}", static_cast<double>(row.items) / row.wall_s) : "-",
                    percent(row.busy_s, row.wall_s), percent(row.load_wait_s, row.wall_s),
                    human_bytes(static_cast<double>(row.memory_bytes))});
  }
  say("\n{}", table(rows, {true, false, false, true, true, true, true, true, true}));
  print_gpus(rank_table);
  const std::uint64_t done_now = outcome.done - outcome.earlier;
  say("{} items in {} ({:.1f} items/s), {} failed", done_now, human_duration(outcome.run_s), items_per_second(outcome),
      outcome.failed);
  if (outcome.earlier > 0) say(", {} more were done by earlier runs", outcome.earlier);
  if (outcome.flagged > 0) say(", {} with outputs that are not finite (/items/flags)", outcome.flagged);
  say("; ranks ready after {}\n", human_duration(outcome.open_s));
  if (done_now > 0 && outcome.failed < outcome.done) say("{}\n", bottleneck(outcome, ranks)); // no meaning when every item failed
  if (!outcome.stopped.empty())
    say("Stopped early: {}. {} of {} items are done and kept in {}; the same command with --resume finishes the job.\n",
        outcome.stopped, outcome.done, setup.manifest.size(), setup.output);
  else
    say("Result: {}\n", setup.output);
  if (outcome.stopped.empty() && outcome.failed > 0)
    say("{} failed: mgpu_run inspect {} shows why; the same command with --retry-failed does them again\n", outcome.failed,
        show_path(setup.output));
  std::fflush(stdout);
}

std::string bottleneck(const Outcome& outcome, const std::vector<write::RankRow>& ranks) {
  double wall_s = 0;
  for (const write::RankRow& row : ranks) wall_s = std::max(wall_s, row.wall_s);
  const double busy = average(ranks, &write::RankRow::busy_s, wall_s);
  const double loading = average(ranks, &write::RankRow::load_wait_s, wall_s);
  const double writing =
      std::max(average(ranks, &write::RankRow::write_wait_s, wall_s), outcome.writer_busy > 0.9 ? outcome.writer_busy : 0.0);
  const double waiting = std::max(0.0, 1 - busy - loading - average(ranks, &write::RankRow::write_wait_s, wall_s));
  const auto share = [](double value) { return fmt::format("{:.0f} %", 100 * std::min(value, 1.0)); };
  if (busy >= std::max({loading, writing, waiting}))
    return fmt::format("The bottleneck was the device: it was busy {} of the time; more ranks would help.", share(busy));
  if (loading >= std::max(writing, waiting))
    return fmt::format(
        "The bottleneck was loading: the device waited for data {} of the time; more cores or --loaders would help.",
        share(loading));
  if (writing >= waiting)
    return fmt::format("The bottleneck was writing: results waited {} of the time; a faster disk for --output would help.",
                       share(writing));
  return fmt::format(
      "The bottleneck was too little work: ranks had nothing to do {} of the time; fewer ranks or smaller batches would do.",
      share(waiting));
}

void write_summary(const RunSetup& setup, const Outcome& outcome, const write::Footer& footer, const nlohmann::json& more) {
  nlohmann::json summary{{"job", setup.job_name},
                         {"output", setup.output},
                         {"version", version},
                         {"items", setup.manifest.size()},
                         {"done", outcome.done},
                         {"ok", outcome.done - outcome.failed},
                         {"failed", outcome.failed},
                         {"flagged", outcome.flagged},
                         {"complete", footer.complete},
                         {"seconds", outcome.run_s},
                         {"open_seconds", outcome.open_s},
                         {"items_per_second", items_per_second(outcome)},
                         {"earlier", outcome.earlier},
                         {"world_size", footer.ranks.size()},
                         {"stopped", outcome.stopped},
                         {"error", outcome.error},
                         {"exit_code", static_cast<int>(outcome.code)}};
  summary.update(more);
  const std::string path = setup.output + ".summary.json";
  try {
    write_whole_file(path, summary.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n');
  } catch (const Error& error) {
    print_warning(error.what()); // not fatal: the exit code still reports how the run ended
  }
}

void finish_job(const Job& job, const Config& config, const Results& results) {
  job.finish(config, results, std::cout);
}

} // namespace mgpu::agent
