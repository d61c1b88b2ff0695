// Under mpirun: whole runs of the agents' side with workers that live in the agents. Rank 0 checks the result file; exits non-zero
// with a line on the first difference. A watchdog ends a hang.
//   run_mpi SCENARIO FOLDER     plain, block, cyclic, dies (rank 1's worker), all_die, hangs (rank 1's worker),
//                               malformed (what rank 1 sends), in_parts (batches answered row by row),
//                               slow_plan (rank 0 takes longer than --rank-timeout before the work begins)
// Under `mpirun --with-ft ulfm` also, with agents that end by SIGKILL in the middle:
//   killed (rank 1), killed_many (all odd ranks), killed_early (rank 1, before it has opened the model)
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "agent/comm/environment.hpp"
#include "agent/coordinator/coordinator.hpp"
#include "agent/coordinator/join.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/fake_worker.hpp"
#include "agent/main/make_workload.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "common/wire/control_messages.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

constexpr unsigned watchdog_s = 50;
constexpr std::uint64_t items = 1003;
constexpr double short_timeout_s = 2;

class TestJob final : public Job {
 public:
  explicit TestJob(double planning_s) : planning_s_(planning_s) {}
  std::string summary() const override { return "for tests"; }
  std::string examples() const override { return ""; }
  /// Asked by the plan.
  Media media(const Config&) const override {
    std::this_thread::sleep_for(std::chrono::duration<double>(planning_s_));
    return Media::any;
  }

 private:
  double planning_s_;
};

[[noreturn]] void fail(const std::string& reason) {
  fmt::print(stderr, "{}\n", reason);
  std::fflush(nullptr);
  _exit(1);
}

agent::FakeWorker::Behaviour behaviour_of(const std::string& scenario, int rank) {
  agent::FakeWorker::Behaviour behaviour;
  behaviour.with_column = true;
  if ((scenario == "dies" && rank == 1) || scenario == "all_die") behaviour.dies_after = 3;
  behaviour.hangs = scenario == "hangs" && rank == 1;
  behaviour.malformed = scenario == "malformed" && rank == 1;
  behaviour.in_parts = scenario == "in_parts";
  behaviour.cannot_open = scenario == "cannot_open" && rank == 1;
  if ((scenario == "killed" && rank == 1) || (scenario == "killed_many" && rank % 2 == 1)) behaviour.kills_agent_after = 3;
  if (scenario == "killed_early" && rank == 1) behaviour.kills_agent_after = 0;
  return behaviour;
}

void check_file(const std::string& path) {
  const write::ReadFile file(path);
  if (file.size() != items || !file.complete()) fail("the file is not complete");
  const std::vector<double> values = file.numbers("double_index");
  const std::vector<Status> status = file.status();
  for (std::uint64_t row = 0; row < items; ++row)
    if (status[row] != Status::ok || values[row] != 2.0 * static_cast<double>(row))
      fail(fmt::format("row {} holds {}", row, values[row]));
}

int conduct(const std::string& scenario, const std::filesystem::path& folder, comm::Messenger& messenger,
            agent::WorkerLink& worker, const wire::Join& join) {
  const std::string table = (folder / fmt::format("{}_{}.csv", scenario, messenger.size())).string();
  std::ofstream file(table);
  file << "path,sleep\n";
  const bool agents_die = scenario.starts_with("killed");
  const bool slow =
      agents_die || scenario == "hangs" || scenario == "dies" || scenario == "malformed"; // so that every rank gets its share
  for (std::uint64_t item = 0; item < items; ++item) file << "item" << item << (slow ? ",0.0005\n" : ",\n");
  file.close();

  const bool slow_plan = scenario == "slow_plan";
  const TestJob job(slow_plan ? 2 * short_timeout_s : 0);
  agent::RunSetup setup;
  setup.job_name = "test";
  setup.job = &job;
  setup.output = table + ".h5";
  setup.batch_size = 4;
  setup.progress = "none";
  setup.binding.devices = "cpu";
  setup.manifest = manifest::Manifest::read(table);
  setup.item_columns = {"sleep"};
  if (slow_plan) setup.rank_timeout_s = short_timeout_s;
  if (slow_plan) setup.batch_size = 0; // chosen by the job's media
  if (scenario == "hangs") setup.item_timeout_s = 0.25;
  if (scenario == "block") setup.schedule = dispatch::Schedule::block;
  if (scenario == "cyclic") setup.schedule = dispatch::Schedule::cyclic;

  int beats = 0;
  agent::Coordinator coordinator(setup, messenger, worker, agent::make_workload, [&beats] { ++beats; });
  bool failed = false;
  try {
    const agent::Outcome outcome = coordinator.run(join);
    if (outcome.done != items || outcome.failed != 0) fail(fmt::format("{} done, {} failed", outcome.done, outcome.failed));
  } catch (const Error& error) {
    failed = true;
    fmt::print("{}\n", error.what());
  }
  if (failed != (scenario == "all_die")) fail("the run ended the wrong way");
  if (coordinator.dismiss() == agents_die) fail(agents_die ? "a dead rank was not missed" : "a rank did not say bye");
  if (!failed) check_file(setup.output);
  if (slow_plan && beats < short_timeout_s) fail("no sign of life while the run was planned");
  if ((agents_die || scenario == "dies" || scenario == "hangs" || scenario == "cannot_open") &&
      coordinator.rank_table().at(1).lost.empty())
    fail("rank 1 was not given up");
  std::filesystem::remove(table);
  for (const char* ending : {".h5", ".h5.partial", ".h5.journal", ".h5.summary.json"}) std::filesystem::remove(table + ending);
  if (agents_die) _exit(0); // MPI_Finalize would wait for the dead
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: run_mpi SCENARIO FOLDER");
  alarm(watchdog_s);
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  comm::Environment environment(facts);
  comm::Messenger& messenger = environment.messenger();
  agent::FakeWorker worker(behaviour_of(argv[1], messenger.rank()));
  const wire::Join join = agent::describe_rank(facts, environment);
  if (messenger.rank() != 0) {
    agent::RouterOptions options;
    if (std::string(argv[1]) == "slow_plan") options.rank_timeout_s = short_timeout_s;
    agent::Router router(messenger, worker, options);
    const int code = router.run(join);
    if (router.without_finalize()) _exit(code);
    return code;
  }
  return conduct(argv[1], argv[2], messenger, worker, join);
}
