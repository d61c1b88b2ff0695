#include "agent/doctor/doctor.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "agent/cli/job_list.hpp"
#include "agent/cli/options.hpp"
#include "agent/coordinator/rank_table.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/doctor/survey.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent::doctor {

namespace {

constexpr double appear_limit_s = 60;
constexpr double survey_limit_s = 15;
constexpr double leave_limit_s = 10;

void print_ranks(const RankTable& rank_table, const comm::Locality& locality) {
  std::vector<std::vector<std::string>> rows{{"rank", "node", "local", "cores", "memory free", "GPUs"}};
  for (int rank = 0; rank < rank_table.size(); ++rank) {
    const RankState& state = rank_table.at(rank);
    if (!state.ready()) {
      rows.push_back({std::to_string(rank), state.join ? state.join->node : "?", "-", "-", "-",
                      state.join ? "its worker did not start" : "did not appear"});
      continue;
    }
    std::string gpus;
    for (const wire::Device& device : state.hello->devices)
      gpus += fmt::format("{}{}: {} {} {}", gpus.empty() ? "" : "; ", device.index, device.name,
                          human_bytes(static_cast<double>(device.memory_bytes)), device.uuid);
    rows.push_back({std::to_string(rank), state.join->node,
                    fmt::format("{}/{}", locality.local_rank[static_cast<std::size_t>(rank)],
                                locality.local_size[static_cast<std::size_t>(rank)]),
                    std::to_string(state.join->cores.size()), human_bytes(static_cast<double>(state.join->memory_free_bytes)),
                    gpus.empty() ? "none: " + state.hello->device_note : gpus});
  }
  say("{}", table(rows, {true, false, true, true, true, false}));
}

void print_versions(const RankState& state) {
  const wire::Versions& versions = state.hello->versions;
  say("  mgpu {} · MPI {} · HDF5 {} · LibTorch {} · CUDA {} · NCCL {} · FFmpeg {} · JPEG {}\n", versions.mgpu, state.join->mpi,
      state.join->hdf5, versions.torch, versions.cuda, versions.nccl, versions.ffmpeg, versions.jpeg);
}

/// What the ranks have told so far; the messages of all of them arrive here.
class Ranks {
 public:
  Ranks(comm::Messenger& messenger, WorkerLink& worker, const wire::Join& own_join)
      : messenger_(messenger), worker_(worker), table_(messenger.size()), surveys_(static_cast<std::size_t>(messenger.size())) {
    table_.at(0).join = own_join;
  }
  const RankTable& table() const { return table_; }

  bool appear() {
    return serve(appear_limit_s, [&] { return table_.all([](const RankState& state) { return state.ready(); }); });
  }
  /// A report of each rank; a rank that does not answer has no survey.
  std::vector<RankReport> survey(const wire::Survey& question) {
    const double asked_s = unix_now_s();
    for (int rank = 1; rank < table_.size(); ++rank) messenger_.post_message(rank, wire::Type::survey, question);
    messenger_.flush();
    surveys_[0] = {doctor::survey(question), asked_s};
    serve(survey_limit_s,
          [&] { return std::all_of(surveys_.begin(), surveys_.end(), [](const auto& each) { return each.has_value(); }); });
    std::vector<RankReport> reports;
    for (int rank = 0; rank < table_.size(); ++rank) {
      RankReport report{*table_.at(rank).join, *table_.at(rank).hello, {}};
      if (const auto& told = surveys_[static_cast<std::size_t>(rank)]; told && rank > 0) {
        // The Network Time Protocol's estimate (RFC 5905, section 8).
        const auto& [survey, heard_s] = *told;
        report.survey = survey;
        report.clock_skew_s = ((survey.asked_unix_s - asked_s) + (survey.answered_unix_s - heard_s)) / 2;
        report.clock_uncertainty_s = ((heard_s - asked_s) - (survey.answered_unix_s - survey.asked_unix_s)) / 2;
      } else if (told) {
        report.survey = told->first;
      } else {
        report.survey.folder_error = "it did not answer: the file system of that folder may hang there";
      }
      reports.push_back(std::move(report));
    }
    return reports;
  }
  /// False if one did not answer. `all_here`: none is missing, MPI may be left in good order.
  bool dismiss(bool all_here) {
    const auto say_bye = [this](const wire::Bye& bye) {
      for (int rank = 1; rank < table_.size(); ++rank) messenger_.post_message(rank, wire::Type::bye, bye);
      messenger_.flush();
    };
    say_bye({all_here ? 0 : 1, static_cast<std::uint8_t>(all_here ? 0 : 1)});
    const bool left = serve(leave_limit_s, [&] {
      for (int rank = 1; rank < table_.size(); ++rank)
        if (!table_.at(rank).left) return false;
      return true;
    });
    if (all_here && left) return true;
    say_bye({1, 1}); // releases all ranks that answered
    poll();
    return false;
  }

 private:
  bool poll() {
    const auto on_frame = [this](int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>&) {
      if (type == wire::Type::join) table_.at(rank).join = wire::decode<wire::Join>(payload);
      if (type == wire::Type::hello) table_.at(rank).hello = wire::decode<wire::Hello>(payload);
      if (type == wire::Type::surveyed)
        surveys_[static_cast<std::size_t>(rank)] = {wire::decode<wire::Surveyed>(payload), unix_now_s()};
      if (type == wire::Type::bye) table_.at(rank).left = true;
    };
    bool busy = messenger_.poll(on_frame);
    busy |= worker_.poll(
        [&](wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) { on_frame(0, type, payload, owner); });
    messenger_.flush();
    return busy;
  }
  bool serve(double limit_s, const std::function<bool()>& until) {
    Backoff backoff;
    for (const double end = now_s() + limit_s; !until() && now_s() < end;)
      if (const auto pause = backoff.next(poll()); pause.count() > 0) worker_.wait(pause);
    return until();
  }

  comm::Messenger& messenger_;
  WorkerLink& worker_;
  RankTable table_;
  std::vector<std::optional<std::pair<wire::Surveyed, double>>> surveys_; ///< and when it came
};

void print_findings(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) say("  wrong: {}\n         {}\n", finding.what, finding.instead);
  if (findings.empty())
    say("  nothing is wrong\n");
  else
    say("  {}\n", counted(findings.size(), "finding"));
}

std::string folder_of(const std::string& output) {
  const std::string folder = std::filesystem::path(output).parent_path().string();
  return folder.empty() ? "." : folder;
}

} // namespace

Options parse(const std::vector<std::string>& arguments) {
  CLI::App app(
      "What every rank sees: GPUs, cores, versions, network, and what would make a job fail or slow; exit code 1 where something "
      "is wrong\n\n"
      "  mpirun -np 8 mgpu_run doctor\n"
      "  srun --mpi=pmix -N2 -n16 mgpu_run doctor --output results/out.h5\n",
      fmt::format("{} doctor", program_name()));
  Options options;
  app.add_option("--output", options.output,
                 "the result file of the job to come: whether every node sees its folder [the current folder]");
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw cli::HelpWanted{app.help()};
  } catch (const CLI::Error& error) {
    throw usage_error(fmt::format("{} (see {} --help)", error.what(), app.get_name()));
  }
  return options;
}

Verdict examine(comm::Messenger& messenger, WorkerLink& worker, const wire::Join& own_join, const Options& options,
                const Surroundings& around) {
  Ranks ranks(messenger, worker, own_join);
  const bool here = ranks.appear();
  const RankTable& table = ranks.table();
  say("mgpu_run {} doctor: {} rank(s)\n", version, table.size());
  comm::Locality locality;
  if (here) locality = comm::find_locality(table.facts());
  print_ranks(table, locality);
  if (table.at(0).ready()) print_versions(table.at(0));
  for (const std::string& warning : locality.warnings) print_warning(warning);

  std::vector<Finding> findings;
  if (here) {
    std::optional<Token> token;
    try {
      token.emplace(folder_of(options.output));
    } catch (const Error& error) {
      findings.push_back({error.what(), "make that folder, or choose another one"});
    }
    const auto reports = ranks.survey(token ? wire::Survey{token->path(), token->text()} : wire::Survey{});
    for (Finding& finding : find_faults(reports, around)) findings.push_back(std::move(finding));
  }
  const bool all_left = ranks.dismiss(here);
  if (here) print_findings(findings);
  std::fflush(stdout);
  return {here && all_left, findings.size()};
}

} // namespace mgpu::agent::doctor
