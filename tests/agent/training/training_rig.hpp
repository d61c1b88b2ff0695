#pragma once
// A training whose ranks do as the test says: steps, checkpoints, deaths.
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/run_rig.hpp"
#include "agent/setup/run_job.hpp"
#include "agent/training/training_workload.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/training_job.hpp"

namespace mgpu::agent {

class TrainingTest : public RunTest {
 protected:
  static constexpr std::uint64_t items = 40, total_steps = 20;

  class NetworkJob final : public TrainingJob {
   public:
    std::string summary() const override { return "for tests"; }
    std::string examples() const override { return ""; }
  };

  void TearDown() override {
    coordinator_.reset();
    setup_ = RunSetup(); // its locks go before their folder
  }

  /// All ranks have their configuration and the list of items.
  void configure(const std::vector<std::string>& options = {}, std::vector<std::string> nodes = {"a", "a"}) {
    const std::string table = (folder_ / "train.csv").string();
    std::ofstream file(table);
    file << "path,label\n";
    for (std::uint64_t item = 0; item < items; ++item) file << "item" << item << (item % 2 == 0 ? ",a\n" : ",b\n");
    file.close();
    std::ofstream(folder_ / "model.pt") << "a network";
    std::vector<std::string> words{"--input",      table, "--validate", table,  "--model",   (folder_ / "model.pt").string(),
                                   "--image-size", "8",   "--output",   output, "--devices", "cpu",
                                   "--batch-size", "8",   "--progress", "none"};
    words.insert(words.end(), options.begin(), options.end());
    setup_ = prepare_run("train", network_, cli::resolve("mgpu_run", "train", network_, words), "test");
    start([](RunControl& control) { return std::make_unique<TrainingWorkload>(control); }, std::move(nodes));
    join_all();
    ASSERT_TRUE(until([&] { return count(size() - 1, Type::items) == 2; }));
  }
  void open_rank(int rank, const std::string& signature = "net") {
    wire::Opened opened;
    opened.trainable = {1000, signature, "", 8};
    open(rank, opened);
  }
  /// The ranks are connected.
  void begin(const std::vector<std::string>& options = {}, std::vector<std::string> nodes = {"a", "a"}) {
    configure(options, std::move(nodes));
    for (int rank = 0; rank < size(); ++rank) open_rank(rank);
    round();
    ASSERT_EQ(count(0, Type::connect), 1);
  }

  /// Steps `from` to `to` are done.
  void train(std::uint64_t from, std::uint64_t to, int first_rank = 0) {
    wire::Steps steps{total_steps, {}};
    for (std::uint64_t step = from; step <= to; ++step) {
      wire::Step& each = steps.steps.emplace_back();
      each.step = step;
      each.epoch = static_cast<std::uint32_t>(1 + (step - 1) / 5);
      each.samples = 16;
      each.loss = 1.0 / static_cast<double>(step);
      each.seconds = 0.01;
    }
    say(first_rank, Type::steps, steps);
    round();
  }
  /// The part of a rank, the `number`th of those that train, is on its disk.
  void save_part(int rank, std::uint64_t step, int number) {
    wire::Saved saved;
    saved.step = step;
    saved.folder = checkpoint(step);
    std::filesystem::create_directories(saved.folder);
    std::ofstream(fmt::format("{}/rank-{:04}.part", saved.folder, number)) << "12345";
    saved.bytes = 5;
    if (number == 0) saved.meta_json = "{}";
    say(rank, Type::saved, saved);
  }
  void save(std::uint64_t step) {
    for (int rank = 0; rank < size(); ++rank) save_part(rank, step, rank);
    round();
  }
  std::string checkpoint(std::uint64_t step) const { return fmt::format("{}.checkpoints/step-{:08}", output, step); }

  void die(int rank, const std::string& reason = "killed by signal 9 (Killed)",
           wire::FailureCause cause = wire::FailureCause::signal) {
    say(rank, Type::died, wire::Died{.reason = reason, .cause = cause});
    round();
  }
  /// What ranks that miss another one still have to say is waited for; then it is decided.
  void listen() { live(1.5, all()); }
  /// The worker that was told to end for the restart has ended; it is not to blame.
  void obey(int rank) {
    ASSERT_EQ(last<wire::Halt>(rank, Type::halt).now, 1);
    die(rank, "killed by signal 9 (Killed)");
  }
  /// New workers of these ranks come up and open.
  void come_back(const std::set<int>& ranks) {
    for (const int rank : ranks) say_hello(rank);
    round();
    for (const int rank : ranks) open_rank(rank);
    round();
  }
  /// Rank 1's worker of two dies, and all restart.
  void die_and_restart() {
    die(1);
    listen();
    obey(0);
    come_back({0, 1});
  }
  std::set<int> all() const {
    std::set<int> ranks;
    for (int rank = 1; rank < size(); ++rank) ranks.insert(rank);
    return ranks;
  }
  /// The ranks answer `finish`.
  Ended end_training(const std::set<int>& silent = {}) {
    told_.clear();
    return end([&] {
      for (int rank = 0; rank < size(); ++rank)
        if (!silent.contains(rank) && count(rank, Type::finish) > 0 && told_.insert(rank).second)
          say(rank, Type::stats, wire::Stats{.items = 100});
    });
  }
  std::vector<double> curve() const {
    const write::ReadFile file(setup_.output);
    const write::h5::Id loss = write::h5::open_dataset(write::h5::open_group(file.file(), "training"), "loss");
    std::vector<double> values(write::h5::shape_of(loss).at(0));
    write::h5::read_rows(loss, write::h5::type_of(DType::float64), 0, values.size(), values.data());
    return values;
  }
  std::vector<double> expected_curve(std::uint64_t steps = total_steps) const {
    std::vector<double> values;
    for (std::uint64_t step = 1; step <= steps; ++step) values.push_back(1.0 / static_cast<double>(step));
    return values;
  }

  const std::string output = (folder_ / "out.h5").string();
  NetworkJob network_;

 private:
  std::set<int> told_;
};

} // namespace mgpu::agent
