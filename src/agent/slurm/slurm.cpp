#include "agent/slurm/slurm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "agent/launch/child.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::slurm {

namespace {

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

int number(const char* name, int missing) {
  double value = 0;
  return parse_number(variable(name), value) && value >= 0 && value < 1e9 ? static_cast<int>(value) : missing;
}

} // namespace

SlurmFacts SlurmFacts::read() {
  SlurmFacts facts;
  facts.job = variable("SLURM_JOB_ID");
  facts.step = variable("SLURM_STEP_ID");
  facts.tasks = number("SLURM_STEP_NUM_TASKS", -1);
  facts.task = number("SLURM_PROCID", -1);
  facts.nodes = number("SLURM_STEP_NUM_NODES", -1);
  facts.restarts = number("SLURM_RESTART_COUNT", 0);
  facts.array_job = variable("SLURM_ARRAY_JOB_ID");
  facts.array_task = variable("SLURM_ARRAY_TASK_ID");
  return facts;
}

std::string describe(const SlurmFacts& facts) {
  if (facts.job.empty()) return {};
  std::string text = "SLURM job " + facts.job;
  if (!facts.array_job.empty()) text += fmt::format(", array task {}_{}", facts.array_job, facts.array_task);
  if (facts.restarts > 0) text += ", requeued " + counted(static_cast<std::uint64_t>(facts.restarts), "time");
  if (!facts.step.empty() && facts.tasks > 0) {
    text += fmt::format(", step {}: {}", facts.step, counted(static_cast<std::uint64_t>(facts.tasks), "task"));
    if (facts.nodes > 0) text += " on " + counted(static_cast<std::uint64_t>(facts.nodes), "node");
  }
  return text;
}

std::optional<std::string> unjoined_tasks(const SlurmFacts& facts, comm::Launcher launcher, int world_size,
                                          const std::string& command) {
  // Inside a step mpirun starts a world of its own; a batch script and an salloc shell are one task.
  if (launcher == comm::Launcher::mpirun || facts.job.empty() || facts.step.empty() || facts.tasks < 2) return {};
  const bool joined = launcher == comm::Launcher::srun && (world_size < 0 || world_size >= facts.tasks);
  if (joined) return {};
  const std::string why = launcher == comm::Launcher::srun
                              ? "srun offered a process manager that this MPI does not use (pmi2, or another PMIx)"
                              : "srun started them without PMIx";
  return fmt::format(
      "this is one of {} tasks of an srun step, but MPI has not joined them: {}. Nothing was done. Type instead\n"
      "  srun --mpi=pmix{} -n{} {}\n"
      "`srun --mpi=list` must name pmix; where it does not, type in the batch script or the salloc shell\n"
      "  mpirun -np {} {}\n"
      "For {} separate runs of one rank each: srun -n{} env -u SLURM_STEP_NUM_TASKS …",
      facts.tasks, why, facts.nodes > 0 ? fmt::format(" -N{}", facts.nodes) : "", facts.tasks, command, facts.tasks, command,
      facts.tasks, facts.tasks);
}

Ask ask_program() {
  constexpr double limit_s = 5;
  return [](const std::vector<std::string>& command) { return launch::output_of(command, limit_s); };
}

std::string mpi_plugins(const SlurmFacts& facts, const Ask& ask) {
  if (facts.job.empty()) return {};
  try {
    return ask({"sh", "-c", "srun --mpi=list 2>&1"}); // some versions list them on standard error
  } catch (const Error&) {
    return {};
  }
}

double kill_wait_s(const Ask& ask) {
  constexpr double by_default_s = 30; // slurm.conf(5), KillWait
  std::string text;
  try {
    text = ask({"scontrol", "show", "config"});
  } catch (const Error&) {
    return by_default_s;
  }
  for (const std::string_view line : split_trimmed(text, '\n')) {
    const std::size_t equals = line.find('=');
    if (!line.starts_with("KillWait") || equals == std::string_view::npos) continue;
    const std::string_view value = trimmed(line.substr(equals + 1)); // "30 sec"
    double seconds = 0;
    if (parse_number(value.substr(0, value.find(' ')), seconds) && seconds >= 0) return seconds;
  }
  return by_default_s;
}

double term_grace_s(comm::Launcher launcher, double grace_s, const Ask& ask) {
  constexpr double close_s = 5; // the result file and the farewells
  if (launcher != comm::Launcher::srun) return grace_s;
  return std::min(grace_s, std::max(kill_wait_s(ask) - close_s, 0.0));
}

} // namespace mgpu::agent::slurm
