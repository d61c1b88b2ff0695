// Under mpirun: whole trainings of the agents' side with workers that live in the agents. Rank 0 checks what is left behind; exits non-zero
// with a line on the first difference. A watchdog ends a hang.
//   train_mpi SCENARIO FOLDER   plain, dies (the last rank's worker), halt, resume, skipped, too_many_skipped, other_network
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/comm/environment.hpp"
#include "agent/coordinator/coordinator.hpp"
#include "agent/coordinator/join.hpp"
#include "agent/coordinator/signals.hpp"
#include "agent/fake_training.hpp"
#include "agent/main/make_workload.hpp"
#include "agent/setup/run_job.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/journal/history.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/training_job.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;
namespace fs = std::filesystem;

constexpr unsigned watchdog_s = 50;
constexpr std::uint64_t items = 5003; // two pieces

class TestJob final : public TrainingJob {
 public:
  std::string summary() const override { return "for tests"; }
  std::string examples() const override { return ""; }
};

[[noreturn]] void fail(const std::string& reason) {
  fmt::print(stderr, "{}\n", reason);
  std::fflush(nullptr);
  _exit(1);
}
void require(bool fact, const std::string& what) {
  if (!fact) fail(what);
}

agent::FakeTraining::Behaviour behaviour_of(const std::string& scenario, int rank, int size) {
  agent::FakeTraining::Behaviour behaviour;
  if (scenario == "dies" && rank == size - 1) behaviour.dies_after = 13;
  if (scenario == "halt") behaviour.signals_after = 7;
  if (scenario == "skipped" || scenario == "too_many_skipped") behaviour.skips = {3, 4999, 3};
  if (scenario == "other_network" && rank == size - 1) behaviour.signature = "another net";
  return behaviour;
}

/// Two whole checkpoints, and pieces of a third.
void leave_checkpoints(const std::string& folder, const std::string& history) {
  fs::remove_all(folder);
  for (const int step : {5, 10, 15}) {
    const fs::path one = fmt::format("{}/step-{:08}", folder, step);
    fs::create_directories(one);
    std::ofstream(one / "rank-0000.part") << "12345";
    if (step < 15)
      std::ofstream(one / "checkpoint.json") << fmt::format(
          R"({{"schema": "mgpu-checkpoint/1", "step": {}, "signature": "net", "global_batch": 24, "validations": 1,
           "parts": [{{"file": "rank-0000.part", "bytes": 5}}], "skipped": [[0, 17, "too large"]]}})",
          step);
  }
  auto curves = write::History::create(history);
  for (std::uint64_t step = 1; step <= 13; ++step) {
    curves.add(wire::Step{.step = step, .loss = 100});
    if (step == 10) curves.add(wire::Metrics{.step = step, .values = {{"loss", 7.0}}});
  }
}

struct Ended {
  agent::Outcome outcome;
  ExitCode error = ExitCode::ok;
  std::string text;
};

/// What must stand in the result file.
void check_result(const std::string& scenario, const agent::RunSetup& setup) {
  const write::ReadFile file(setup.output);
  const bool stopped = scenario == "halt" || scenario == "dies" || scenario == "too_many_skipped";
  require(file.complete() == !stopped, "complete is wrong");
  const std::vector<Status> status = file.status();
  require(status.size() == items, "rows");
  const bool skipped = scenario == "skipped" || scenario == "too_many_skipped";
  require((status[3] == Status::failed && status[4999] == Status::failed) == skipped, "skipped items");
  require((status[17] == Status::failed) == (scenario == "resume"), "an item skipped before the checkpoint");
  if (!stopped) require(status[0] == Status::ok && status[items - 1] == Status::ok, "items that were used");
  const write::h5::Id training = write::h5::open_group(file.file(), "training");
  for (const char* name : {"step", "epoch", "loss", "lr", "samples_per_s", "samples", "grad_norm", "loss_scale", "updated"})
    require(write::h5::exists(training, name), fmt::format("/training/{} is missing", name));
  const write::h5::Id loss = write::h5::open_dataset(training, "loss");
  std::vector<double> values(write::h5::shape_of(loss).at(0));
  write::h5::read_rows(loss, write::h5::type_of(DType::float64), 0, values.size(), values.data());
  if (!stopped) require(values.size() == 20 && values[19] == 1.0 / 20, "the curve");
  if (scenario == "resume") require(values[9] == 100 && values[10] == 1.0 / 11, "the curve goes on behind the checkpoint");
  if (scenario == "halt") require(values.size() >= 7 && values.size() < 20, "the curve ends early");
  if (!stopped)
    require(write::h5::exists(training, "validation_accuracy") && write::h5::exists(training, "class_name"), "validations");
  require(fs::exists(write::History::path_of(setup.output)) == stopped, "OUTPUT.training stays until the training is complete");
}

void check_checkpoints(const std::string& scenario, const agent::RunSetup& setup, int ranks) {
  const auto newest = agent::Checkpoints::newest(setup.training->checkpoints);
  require(newest.has_value(), "no checkpoint");
  if (scenario == "plain") require(newest->step == 20, "the newest checkpoint");
  if (scenario == "dies") require(newest->step == 10, "the checkpoint before the loss");
  if (scenario == "halt") require(newest->step >= 7, "the checkpoint of the halt");
  require(newest->json.at("world_size") == ranks && newest->json.at("parts").size() == static_cast<std::size_t>(ranks), "parts");
  require(newest->json.at("scaler") == 1024 && newest->json.at("signature") == "net", "facts in checkpoint.json");
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(setup.training->checkpoints)) count += entry.is_directory() ? 1 : 0;
  require(count <= 2, fmt::format("{} checkpoints, --keep-checkpoints 2", count));
}

Ended train(agent::Coordinator& coordinator, const wire::Join& join) {
  Ended ended;
  try {
    ended.outcome = coordinator.run(join);
  } catch (const Error& error) {
    ended.error = error.code();
    ended.text = error.what();
    fmt::print("{}\n", error.what());
  }
  return ended;
}

int conduct(const std::string& scenario, const fs::path& parent, comm::Messenger& messenger, agent::FakeTraining& worker,
            const wire::Join& join) {
  const fs::path folder = parent / fmt::format("train_{}_{}", scenario, messenger.size());
  fs::remove_all(folder);
  fs::create_directories(folder);
  std::ofstream table(folder / "train.csv");
  table << "path,label\n";
  for (std::uint64_t item = 0; item < items; ++item) table << "item" << item << (item % 2 == 0 ? ",a\n" : ",b\n");
  table.close();
  std::ofstream(folder / "model.pt") << "a network";

  const TestJob job;
  const std::string output = (folder / "out.h5").string();
  std::vector<std::string> words{"--input",
                                 (folder / "train.csv").string(),
                                 "--validate",
                                 (folder / "train.csv").string(),
                                 "--model",
                                 (folder / "model.pt").string(),
                                 "--image-size",
                                 "8",
                                 "--output",
                                 output,
                                 "--batch-size",
                                 "8",
                                 "--devices",
                                 "cpu",
                                 "--progress",
                                 "none",
                                 "--keep-checkpoints",
                                 "2"};
  if (scenario == "too_many_skipped") words.insert(words.end(), {"--max-failures", "1"});
  if (scenario == "resume") {
    words.emplace_back("--resume");
    leave_checkpoints(output + ".checkpoints", write::History::path_of(output));
  }
  const agent::RunSetup setup = agent::prepare_run("train", job, cli::resolve("mgpu_run", "train", job, words), "test");
  agent::Coordinator coordinator(setup, messenger, worker, agent::make_workload);
  const Ended ended = train(coordinator, join);
  if (!coordinator.dismiss()) fail("a rank did not say bye");

  require(worker.items(0) == items && worker.items(1) == items, "items at the worker");
  if (scenario == "other_network") {
    require(ended.error == ExitCode::usage && ended.text.find(fmt::format("rank {}", messenger.size() - 1)) == 0,
            "another network");
    require(!fs::exists(output) && !fs::exists(output + ".partial") && !fs::exists(output + ".checkpoints"),
            "something is left behind");
    return 0;
  }
  require(
      worker.connect() && worker.connect()->node_of == std::vector<std::int32_t>(static_cast<std::size_t>(messenger.size()), 0),
      "the way to the others");
  const bool fails = scenario == "dies" || scenario == "too_many_skipped";
  require((ended.error == ExitCode::failed) == fails, "the run ended the wrong way: " + ended.text);
  if (scenario == "dies") require(ended.text.find(fmt::format("rank {} on", messenger.size() - 1)) == 0, "who is to blame");
  if (!fails) {
    const ExitCode expected = scenario == "halt"                              ? ExitCode::stopped
                              : scenario == "skipped" || scenario == "resume" ? ExitCode::items_failed
                                                                              : ExitCode::ok;
    require(ended.outcome.code == expected, fmt::format("exit code {}", static_cast<int>(ended.outcome.code)));
  }
  if (scenario == "resume") require(worker.connect()->checkpoint.ends_with("step-00000010"), "goes on from the newest whole one");
  check_result(scenario, setup);
  check_checkpoints(scenario, setup, messenger.size());
  fs::remove_all(folder);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: train_mpi SCENARIO FOLDER");
  alarm(watchdog_s);
  const comm::LauncherFacts facts = comm::LauncherFacts::read();
  comm::Environment environment(facts);
  comm::Messenger& messenger = environment.messenger();
  agent::catch_signals(messenger.rank() == 0 ? comm::Launcher::mpirun : comm::Launcher::none, false);
  agent::FakeTraining worker(behaviour_of(argv[1], messenger.rank(), messenger.size()));
  const wire::Join join = agent::describe_rank(facts, environment);
  try {
    if (messenger.rank() != 0) return agent::Router(messenger, worker, {}).run(join);
    return conduct(argv[1], argv[2], messenger, worker, join);
  } catch (const std::exception& error) {
    fail(error.what());
  }
}
