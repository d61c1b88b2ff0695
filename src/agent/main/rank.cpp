#include "agent/main/rank.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "agent/coordinator/join.hpp"
#include "agent/gpu_health/nvml.hpp"
#include "agent/slurm/slurm.hpp"
#include "agent/supervisor/worker_process.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {

/// --start-timeout as every rank can read it before rank 0 has resolved the options: it also limits MPI_Init.
unsigned start_limit(const std::vector<std::string>& arguments) {
  constexpr unsigned by_default_s = 60;
  std::string text;
  if (const char* set = std::getenv("MGPU_START_TIMEOUT"); set != nullptr) text = set;
  for (std::size_t at = 0; at < arguments.size(); ++at)
    for (const std::string name : {"--start-timeout", "--start_timeout"}) {
      if (arguments[at] == name && at + 1 < arguments.size()) text = arguments[at + 1];
      if (arguments[at].starts_with(name + "=")) text = arguments[at].substr(name.size() + 1);
    }
  double seconds = 0;
  return parse_number(text, seconds) && seconds >= 1 && seconds < 1e6 ? static_cast<unsigned>(seconds) : by_default_s;
}

} // namespace

void require_joined(const comm::LauncherFacts& facts, int world_size, const std::string& command) {
  const auto slurm = slurm::SlurmFacts::read();
  const auto why = slurm::unjoined_tasks(slurm, facts.launcher, world_size, command);
  if (!why) return;
  if (slurm.task > 0) throw ReportedByRank0();
  throw usage_error(*why);
}

Rank::Rank(const comm::LauncherFacts& facts, const std::vector<std::string>& arguments, const std::string& command)
    : memory_look(gpu_health::may_limit_memory(arguments)),
      supervisor([starter = std::make_shared<WorkerStarter>(WorkerProcess::find_program())] {
        return std::make_unique<WorkerProcess>(*starter, ring_bytes);
      }),
      environment(facts, start_limit(arguments)) {
  if (comm::NodeReducer* reducer = environment.reducer()) summing_.emplace(supervisor, *reducer, environment.messenger().rank());
  require_joined(facts, environment.messenger().size(), command);
}

wire::Join Rank::describe(const comm::LauncherFacts& facts) const {
  wire::Join join = describe_rank(facts, environment);
  join.gpu_memory = memory_look.finish(join.gpu_memory_note);
  return join;
}

int Rank::leave(int code, bool without_finalize, bool left_behind) {
  end_worker();
  std::fflush(nullptr);
  if (without_finalize) _exit(code);
  environment.close(code);
  if (left_behind || gpu_health::nvml_is_in_use()) _exit(code);
  return code;
}

WorkerLink& Rank::worker() {
  if (summing_) return *summing_;
  return supervisor;
}

} // namespace mgpu::agent
