// mgpu_run: the program that a user starts, one process per rank.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/job_list.hpp"
#include "agent/cli/options.hpp"
#include "agent/coordinator/coordinator.hpp"
#include "agent/coordinator/join.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/coordinator/signals.hpp"
#include "agent/coordinator/status_writer.hpp"
#include "agent/launch/launch.hpp"
#include "agent/main/make_workload.hpp"
#include "agent/main/rank.hpp"
#include "agent/main/run_doctor.hpp"
#include "agent/main/tools.hpp"
#include "agent/setup/run_job.hpp"
#include "agent/slurm/slurm.hpp"
#include "common/support/inherited.hpp"
#include "common/support/say.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

/// `rank`: the rank that failed; MPI's network errors do not name it.
int print_error(const Error& error, const std::string& rank) {
  std::string text = error.what();
  if (error.call.starts_with("MPI_") && !rank.empty())
    text = fmt::format("{}: {}; what is done is kept, the same command with --resume continues", rank, text);
  const std::string line = fmt::format("{}: {}{}\n", program_name(), error.code() == ExitCode::usage ? "" : "error: ", text);
  std::fputs(line.c_str(), stderr); // unlike fmt::print it does not throw when mpirun has ended and nobody reads
  return static_cast<int>(error.code());
}

/// Runs `work`; the one place where an error becomes a line and an exit code.
template <typename Work>
int guarded(const std::string& rank, const Work& work) {
  try {
    return work();
  } catch (const cli::HelpWanted& help) {
    say("{}", help.text);
    return 0;
  } catch (const ReportedByRank0&) {
    // A launcher ends all ranks when one ends with an error, also a rank 0 that is about to speak. Then it ends this one, whose exit code
    // must stay.
    signal(SIGTERM, SIG_IGN);
    constexpr unsigned report_s = 2;
    sleep(report_s);
    return static_cast<int>(ExitCode::usage);
  } catch (const Error& error) {
    return print_error(error, rank);
  } catch (const std::exception& error) {
    return print_error(Error(error.what()), rank);
  }
}

const JobEntry* find_job(std::string_view name) {
  for (const JobEntry& entry : job_list())
    if (entry.name == name) return &entry;
  return nullptr;
}

/// Standard input and pipes are as slow as their writers.
bool takes_its_time(const std::string& input) {
  std::error_code ignored;
  return input == "-" || std::filesystem::is_fifo(input, ignored);
}

agent::Waiting waiting_for_setup(comm::Messenger& messenger, agent::StatusWriter& status, const Config& config) {
  return {.beat =
              [&messenger, &status] {
                for (int rank = 1; rank < messenger.size(); ++rank) messenger.post(rank, wire::Type::heartbeat);
                messenger.flush();
                status.beat();
              },
          .why_end = []() -> std::string {
            if (agent::launcher_gone()) return "mpirun is gone";
            const int signal = agent::stop_request().number;
            return signal == 0 ? ""
                               : fmt::format("{} received before the work began; nothing was done", agent::signal_name(signal));
          },
          .stall_s = takes_its_time(config.get<std::string>("input")) ? 0 : config.get<double>("stall-timeout")};
}

std::string name_of(const comm::LauncherFacts& facts) {
  return fmt::format("rank {} on {}", std::max(facts.rank, 0), facts.host);
}

int run_rank0(const JobEntry& entry, const std::vector<std::string>& arguments, const std::string& command,
              const comm::LauncherFacts& facts) {
  agent::catch_signals(facts.launcher, true);
  Rank rank(facts, arguments, command);
  const std::shared_ptr<Job> job(entry.make());
  bool left_behind = false;
  agent::RunSetup setup;
  agent::StatusWriter status;
  comm::Messenger& messenger = rank.environment.messenger();
  std::optional<agent::Coordinator> coordinator;
  const int code = guarded(name_of(facts), [&] {
    const cli::Resolved resolved = cli::resolve(std::string(program_name()), std::string(entry.name), *job, arguments);
    if (!resolved.config.get<bool>("dry-run")) status.begin(resolved.config.get<std::string>("output"), facts.host);
    // By value: an abandoned thread outlives this frame.
    setup = agent::prepare_beside(waiting_for_setup(messenger, status, resolved.config), left_behind,
                                  [name = entry.name, job, resolved, command, launcher = facts.launcher] {
                                    agent::RunSetup prepared = agent::prepare_run(std::string(name), *job, resolved, command);
                                    prepared.term_grace_s = slurm::term_grace_s(launcher, prepared.grace_s, slurm::ask_program());
                                    return prepared;
                                  });
    if (setup.complete) {
      say("{} is complete already; nothing to do{}\n", setup.output,
          *setup.complete == ExitCode::items_failed ? "; some of its items failed, --retry-failed does them again" : "");
      return static_cast<int>(*setup.complete);
    }
    say("{}", cli::describe(resolved));
    if (const std::string slurm = slurm::describe(slurm::SlurmFacts::read()); !slurm.empty()) say("{}\n", slurm);
    if (!setup.dry_run) status.running();
    coordinator.emplace(
        setup, messenger, rank.worker(), agent::make_workload, [&status] { status.beat(); }, [&rank] { rank.end_worker(); });
    const agent::Outcome outcome = coordinator->run(rank.describe(facts));
    return static_cast<int>(outcome.code);
  });
  std::fflush(nullptr);
  if (!coordinator) coordinator.emplace(setup, messenger, rank.worker(), agent::make_workload);
  status.done(code, coordinator->lost_machines());
  const bool all_left = coordinator->dismiss();
  coordinator.reset(); // removes staged models, closes files
  setup.lock.reset();
  if (setup.training) setup.training->checkpoints_lock.reset();
  return rank.leave(code, !all_left, left_behind);
}

int run_job(const JobEntry& entry, const std::vector<std::string>& arguments, const std::string& command) {
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  if (facts.rank <= 0) return run_rank0(entry, arguments, command, facts);
  // Only rank 0 reads the command line, prints and has the exit code; the others follow it.
  agent::catch_signals(facts.launcher, false);
  Rank rank(facts, arguments, command);
  agent::Router router(rank.environment.messenger(), rank.worker(), {});
  const int code = guarded(name_of(facts), [&] { return router.run(rank.describe(facts)); });
  return rank.leave(code, router.without_finalize());
}

int run(const std::vector<std::string>& arguments, const std::string& command) {
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  const std::string first = arguments.empty() ? "" : arguments.front();
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  const JobEntry* job = find_job(first);
  if (job != nullptr || first == "doctor" || first == "launch") require_joined(facts, -1, command);
  if (job != nullptr) return run_job(*job, rest, command);
  if (first == "doctor") return run_doctor(facts, rest, command);
  if (first == "launch") return launch::run(rest);
  if (facts.rank > 0) return 0; // tools are one process: rank 0's
  return agent::run_tool(first, rest);
}

} // namespace

int main(int argc, char** argv) {
  mend_inherited_state();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string command = fmt::format("{}", fmt::join(argv, argv + argc, " "));
  return guarded("", [&] { return run(arguments, command); });
}
