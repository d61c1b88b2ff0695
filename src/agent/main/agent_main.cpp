// mgpu_run: the program a user starts, one process a rank.
#include <fmt/format.h>
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
#include "agent/gpu_health/gpu_memory.hpp"
#include "agent/gpu_health/nvml.hpp"
#include "agent/launch/launch.hpp"
#include "agent/main/doctor.hpp"
#include "agent/main/make_workload.hpp"
#include "agent/main/tools.hpp"
#include "agent/setup/run_job.hpp"
#include "agent/supervisor/summing_worker.hpp"
#include "agent/supervisor/supervisor.hpp"
#include "agent/supervisor/worker_process.hpp"
#include "common/support/clock.hpp"
#include "common/support/inherited.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

/// Shared memory between an agent and its worker: some batches of results.
constexpr std::size_t ring_bytes = 256u << 20;
constexpr unsigned self_test_limit_s = 30;
constexpr unsigned start_limit_s = 60;

/// `rank`: whose error it is; what MPI says of a network names nobody.
int print_error(const Error& error, const std::string& rank) {
  std::string text = error.what();
  if (error.call.starts_with("MPI_") && !rank.empty())
    text = fmt::format("{}: {}; what is done is kept, the same command with --resume continues", rank, text);
  const std::string line = fmt::format("{}: {}{}\n", program_name(), error.code() == ExitCode::usage ? "" : "error: ", text);
  std::fputs(line.c_str(), stderr); // unlike fmt::print it does not throw when mpirun is gone, and nobody reads
  return static_cast<int>(error.code());
}

/// Runs `work`; one place where every error becomes a line and an exit code.
template <typename Work>
int guarded(const std::string& rank, const Work& work) {
  try {
    return work();
  } catch (const cli::HelpWanted& help) {
    say("{}", help.text);
    return 0;
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

/// --start-timeout as every rank finds it, before rank 0 has read the options: MPI itself must come up within it.
unsigned start_limit(const std::vector<std::string>& arguments) {
  std::string text;
  if (const char* set = std::getenv("MGPU_START_TIMEOUT"); set != nullptr) text = set;
  for (std::size_t at = 0; at < arguments.size(); ++at)
    for (const std::string name : {"--start-timeout", "--start_timeout"}) {
      if (arguments[at] == name && at + 1 < arguments.size()) text = arguments[at + 1];
      if (arguments[at].starts_with(name + "=")) text = arguments[at].substr(name.size() + 1);
    }
  double seconds = 0;
  return parse_number(text, seconds) && seconds >= 1 && seconds < 1e6 ? static_cast<unsigned>(seconds) : start_limit_s;
}

/// A rank that takes part: its worker is started before MPI, so that LibTorch is read while MPI wires up.
struct Rank {
  Rank(const comm::LauncherFacts& facts, const std::vector<std::string>& arguments)
      : memory_look(gpu_health::may_limit_memory(arguments)),
        supervisor([starter = std::make_shared<agent::WorkerStarter>(agent::WorkerProcess::find_program())] {
          return std::make_unique<agent::WorkerProcess>(*starter, ring_bytes);
        }),
        environment(facts, start_limit(arguments)),
        worker(supervisor, environment.reducer(), environment.messenger().rank()) {}
  /// What rank 0 is told of it.
  wire::Join describe(const comm::LauncherFacts& facts) const {
    wire::Join join = agent::describe_rank(facts, environment);
    join.gpu_memory = memory_look.finish(join.gpu_memory_note);
    return join;
  }
  /// Ends the worker, takes MPI down and gives `code` back. After a lost rank (`without_finalize`) MPI_Finalize would wait for ever:
  /// then the process ends here; also where a thread is `left_behind`, or in NVML, that may use what the end of a process destroys.
  int leave(int code, bool without_finalize, bool left_behind = false) {
    end_worker();
    std::fflush(nullptr);
    if (without_finalize) _exit(code);
    environment.close(code);
    if (left_behind || gpu_health::nvml_is_in_use()) _exit(code);
    return code;
  }
  void end_worker() {
    worker.forget();
    supervisor.end();
  }
  gpu_health::GpuMemoryLook memory_look; ///< first: its thread works while the others start
  agent::Supervisor supervisor;
  comm::Environment environment;
  agent::SummingWorker worker;
};

int run_doctor(const comm::LauncherFacts& facts, const std::vector<std::string>& arguments) {
  Rank rank(facts, arguments);
  const wire::Join join = agent::describe_rank(facts, rank.environment);
  comm::Messenger& messenger = rank.environment.messenger();
  const bool all_here = messenger.rank() == 0 ? agent::gather_and_print(messenger, rank.worker, join)
                                              : agent::Router(messenger, rank.worker, {}).run(join) == 0;
  if (!all_here) {
    if (messenger.rank() == 0) say("not every rank is well\n");
    return rank.leave(messenger.rank() == 0 ? 1 : 0, true);
  }
  alarm(self_test_limit_s); // the one collective: it has an end, too
  const double seconds = rank.environment.self_test();
  alarm(0);
  if (messenger.rank() == 0 && messenger.size() > 1)
    say("  MPI all-reduce over {} ranks: right, {}\n", messenger.size(), human_duration(seconds));
  return 0;
}

/// Standard input and pipes take as long as who writes them.
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
  agent::catch_signals(!facts.launcher.empty(), true);
  Rank rank(facts, arguments);
  const std::shared_ptr<Job> job(entry.make());
  bool left_behind = false;
  agent::RunSetup setup;
  agent::StatusWriter status;
  comm::Messenger& messenger = rank.environment.messenger();
  std::optional<agent::Coordinator> coordinator;
  const int code = guarded(name_of(facts), [&] {
    const cli::Resolved resolved = cli::resolve(std::string(program_name()), std::string(entry.name), *job, arguments);
    if (!resolved.config.get<bool>("dry-run")) status.begin(resolved.config.get<std::string>("output"), facts.host);
    // By value: where it is left behind, this frame is gone.
    setup = agent::prepare_beside(
        waiting_for_setup(messenger, status, resolved.config), left_behind,
        [name = entry.name, job, resolved, command] { return agent::prepare_run(std::string(name), *job, resolved, command); });
    if (setup.complete) {
      say("{} is complete already; nothing to do{}\n", setup.output,
          *setup.complete == ExitCode::items_failed ? "; some of its items failed, --retry-failed does them again" : "");
      return static_cast<int>(*setup.complete);
    }
    say("{}", cli::describe(resolved));
    if (!setup.dry_run) status.running();
    coordinator.emplace(
        setup, messenger, rank.worker, agent::make_workload, [&status] { status.beat(); }, [&rank] { rank.end_worker(); });
    const agent::Outcome outcome = coordinator->run(rank.describe(facts));
    return static_cast<int>(outcome.code);
  });
  std::fflush(nullptr);
  if (!coordinator) coordinator.emplace(setup, messenger, rank.worker, agent::make_workload);
  status.done(code, coordinator->lost_machines());
  const bool all_left = coordinator->dismiss();
  coordinator.reset(); // staged models go, files close
  setup.lock.reset();
  if (setup.training) setup.training->checkpoints_lock.reset();
  return rank.leave(code, !all_left, left_behind);
}

int run_job(const JobEntry& entry, const std::vector<std::string>& arguments, const std::string& command) {
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  if (facts.rank <= 0) return run_rank0(entry, arguments, command, facts);
  // Only rank 0 reads the command line, speaks, and carries the exit code; the others do as it says.
  agent::catch_signals(!facts.launcher.empty(), false);
  Rank rank(facts, arguments);
  agent::Router router(rank.environment.messenger(), rank.worker, {});
  const int code = guarded(name_of(facts), [&] { return router.run(rank.describe(facts)); });
  return rank.leave(code, router.without_finalize());
}

int run(const std::vector<std::string>& arguments, const std::string& command) {
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  const std::string first = arguments.empty() ? "" : arguments.front();
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (const JobEntry* job = find_job(first)) return run_job(*job, rest, command);
  if (first == "doctor") return run_doctor(facts, rest);
  if (first == "launch") return launch::run(rest);
  if (facts.rank > 0) return 0; // tools are one process: rank 0's
  return agent::run_tool(first, rest);
}

} // namespace

int main(int argc, char** argv) {
  mend_inherited_state();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string command;
  for (int at = 0; at < argc; ++at) command += (at == 0 ? "" : " ") + std::string(argv[at]);
  return guarded("", [&] { return run(arguments, command); });
}
