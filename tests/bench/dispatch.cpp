// Under mpirun: items handed out, leased, answered and recorded by the real agents, with workers that do nothing or sleep.
//   bench_dispatch TABLE.csv OUT.h5 BATCH [UNIX_SECONDS]     prints one JSON line: seconds from first grant to last result,
//   start-up, memory. With UNIX_SECONDS all ranks open at that time, so that none has a head start.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "agent/comm/environment.hpp"
#include "agent/coordinator/coordinator.hpp"
#include "agent/coordinator/join.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/fake_worker.hpp"
#include "agent/main/make_workload.hpp"
#include "common/wire/control_messages.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

class SleepJob final : public Job {
 public:
  std::string summary() const override { return "sleep"; }
  std::string examples() const override { return ""; }
};

} // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: bench_dispatch TABLE.csv OUT.h5 BATCH [UNIX_SECONDS]\n");
    return 2;
  }
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  const double begin = now_s();
  comm::Environment environment(facts);
  agent::FakeWorker::Behaviour behaviour;
  if (argc > 4) behaviour.opens_at_unix_s = std::stod(argv[4]);
  agent::FakeWorker worker(behaviour);
  comm::Messenger& messenger = environment.messenger();
  const wire::Join join = agent::describe_rank(facts, environment);
  if (messenger.rank() != 0) return agent::Router(messenger, worker, {}).run(join);

  const SleepJob job;
  agent::RunSetup setup;
  setup.job_name = "sleep";
  setup.job = &job;
  setup.output = argv[2];
  setup.batch_size = static_cast<std::uint32_t>(std::stoul(argv[3]));
  setup.progress = "none";
  setup.item_timeout_s = 3600; // deadlines on
  setup.binding.devices = "cpu";
  const double read_begin = now_s();
  setup.manifest = manifest::Manifest::read(argv[1]);
  const double read_s = now_s() - read_begin;
  if (setup.manifest.column("sleep")) setup.item_columns = {"sleep"};
  agent::Coordinator coordinator(setup, messenger, worker, agent::make_workload);
  const agent::Outcome outcome = coordinator.run(join);
  coordinator.dismiss();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("BENCH {{\"items\": {}, \"seconds\": {:.6f}, \"read_s\": {:.3f}, \"start_s\": {:.3f}, \"rank0_peak_mb\": {:.1f}}}\n",
             outcome.done, outcome.run_s, read_s, read_begin - begin + read_s + outcome.open_s,
             static_cast<double>(usage.ru_maxrss) / 1000);
  return 0;
}
