#include "agent/main/run_doctor.hpp"

#include <unistd.h>

#include "agent/cli/options.hpp"
#include "agent/coordinator/join.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/doctor/doctor.hpp"
#include "agent/doctor/survey.hpp"
#include "agent/main/rank.hpp"
#include "agent/slurm/slurm.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent {

int run_doctor(const comm::LauncherFacts& facts, const std::vector<std::string>& arguments, const std::string& command) {
  doctor::Options options;
  try {
    options = doctor::parse(arguments);
  } catch (const cli::HelpWanted&) {
    if (facts.rank > 0) return 0;
    throw;
  } catch (const Error&) {
    if (facts.rank > 0) throw ReportedByRank0();
    throw;
  }
  Rank rank(facts, arguments, command);
  const wire::Join join = describe_rank(facts, rank.environment);
  comm::Messenger& messenger = rank.environment.messenger();
  doctor::Verdict verdict;
  if (messenger.rank() == 0) {
    const auto slurm = slurm::SlurmFacts::read();
    const doctor::Surroundings around{facts.launcher, slurm, slurm::mpi_plugins(slurm, slurm::ask_program()), ring_bytes};
    verdict = doctor::examine(messenger, rank.worker(), join, options, around);
  } else {
    verdict.all_here = Router(messenger, rank.worker(), {.survey = doctor::survey}).run(join) == 0;
  }
  if (!verdict.all_here) {
    if (messenger.rank() == 0) say("not every rank is well\n");
    return rank.leave(messenger.rank() == 0 ? 1 : 0, true);
  }
  constexpr unsigned self_test_limit_s = 30;
  alarm(self_test_limit_s); // limits the only collective call
  const double seconds = rank.environment.self_test();
  alarm(0);
  if (messenger.rank() == 0 && messenger.size() > 1)
    say("  MPI all-reduce over {} ranks: right, {}\n", messenger.size(), human_duration(seconds));
  return verdict.findings == 0 ? 0 : static_cast<int>(ExitCode::failed);
}

} // namespace mgpu::agent
