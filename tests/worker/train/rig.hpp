#pragma once
// Trainings of a small network on made-up data, ranks as threads of one process.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "common/wire/training_messages.hpp"
#include "worker/collective/shared_exchange.hpp"
#include "worker/device/device_streams.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/probe.hpp"
#include "worker/train/trainer.hpp"

namespace mgpu::worker::train {

inline constexpr std::int64_t width = 6, hidden = 16, classes = 3;

/// As torch::nn::Linear, whose header is most of what <torch/torch.h> costs.
struct Linear {
  Linear(std::int64_t inputs, std::int64_t outputs) {
    const double bound = 1 / std::sqrt(static_cast<double>(inputs));
    weight = torch::empty({outputs, inputs}).uniform_(-bound, bound).requires_grad_();
    bias = torch::empty({outputs}).uniform_(-bound, bound).requires_grad_();
  }
  torch::Tensor forward(const torch::Tensor& input) const { return at::linear(input, weight, bias); }
  torch::Tensor weight, bias;
};

struct SmallNetwork {
  int seed = (torch::manual_seed(7), 7); ///< before the layers are made
  Linear first{width, hidden}, second{hidden, classes}, unused{2, 2};
  bool training = true;
};

/// One rank that only notes what is said to it.
class NotingExchange : public collective::Exchange {
 public:
  explicit NotingExchange(std::size_t elements) : parameters_(elements), gradients_(elements) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  float* parameters() override { return parameters_.data(); }
  float* gradients() override { return gradients_.data(); }
  void broadcast_parameters() override {}
  void ready(std::size_t bucket) override { announced.push_back(bucket); }
  collective::StepResult step(const collective::StepRequest&) override { return {}; }
  std::vector<collective::Slice> shard() const override { return {}; }
  void read_shard(int, std::span<float>) override {}
  void write_shard(int, std::span<const float>) override {}
  void sum(std::span<double>, std::string_view) override {}
  void mean(std::span<float>, std::string_view) override {}
  double least(double value, std::string_view) override { return value; }
  void abort(std::string_view) override {}

  std::vector<std::size_t> announced;

 private:
  std::vector<float> parameters_, gradients_;
};

/// Learns which third of a made-up line an item's numbers come from. Items whose path is "bad" cannot be prepared.
class SmallTraining : public Training {
 public:
  bool use_unused = true; ///< false: the parameters of `unused` take no part
  double dropout = 0;
  int spoilt_evaluations = 0;         ///< the first ones give NaN
  std::atomic<int> without_items = 0; ///< losses of rows whose items say nothing
  void open(const RankContext&) override {}
  std::optional<RowSpec> row_spec() const override { return RowSpec{{width}, torch::kFloat}; }
  std::vector<NamedTensor> parameters() override {
    std::vector<NamedTensor> parameters;
    for (const auto& [name, layer] :
         {std::pair("first", &network.first), std::pair("second", &network.second), std::pair("unused", &network.unused)}) {
      parameters.push_back({std::string(name) + ".weight", layer->weight});
      parameters.push_back({std::string(name) + ".bias", layer->bias});
    }
    return parameters;
  }
  void set_training(bool on) override { network.training = on; }
  void prepare(const Item& item, const Variation&, Sample& sample) override {
    if (item.path == "bad") throw Error("cannot be read");
    auto* row = sample.input.mutable_data_ptr<float>();
    for (std::int64_t at = 0; at < width; ++at)
      row[at] = std::sin(static_cast<float>(item.index * 7 + static_cast<std::uint64_t>(at) * 3)) +
                static_cast<float>(item.index % classes);
  }
  std::vector<torch::Tensor> targets(const Batch& rows) const override {
    std::vector<std::int64_t> classes_of;
    for (const Item* item : rows.items) classes_of.push_back(static_cast<std::int64_t>(item->index) % classes);
    return {torch::tensor(classes_of)};
  }
  torch::Tensor loss(const Batch& batch) override {
    if (batch.items[0]->path.empty()) ++without_items;
    torch::Tensor loss = at::cross_entropy_loss(forward(batch), batch.targets.at(0));
    if (use_unused) loss = loss + network.unused.forward(torch::ones({1, 2})).square().mean();
    return loss;
  }
  void evaluate(const Batch& batch, Sums& sums) override {
    const torch::Tensor right = forward(batch).argmax(1).eq(batch.targets.at(0));
    const bool spoilt = spoilt_evaluations-- > 0;
    sums.add("accuracy", spoilt ? std::nan("") : right.sum().item<double>(), static_cast<double>(batch.size()));
  }
  void save(const std::string& path) override {
    std::ofstream(path, std::ios::binary)
        .write(static_cast<const char*>(network.first.weight.const_data_ptr()),
               static_cast<std::streamsize>(network.first.weight.nbytes()));
  }

  SmallNetwork network;

 private:
  torch::Tensor forward(const Batch& batch) {
    const torch::Tensor seen = torch::relu(network.first.forward(batch.input));
    return network.second.forward(torch::dropout(seen, dropout, network.training));
  }
};

struct Folder {
  Folder() : path(std::filesystem::temp_directory_path() / ("mgpu_train_test_" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

/// What a training said and left behind.
struct Trained {
  std::vector<wire::Step> steps;
  std::vector<wire::Metrics> metrics;
  std::vector<wire::Saved> saved;
  std::vector<wire::SkippedItem> skipped;
  std::vector<std::string> errors; ///< by rank; "" where it went well
  std::vector<torch::Tensor> parameters;
  int recorded_passes = 0; ///< of all ranks, those that led up to a recording among them
};

struct Rig {
  Settings settings;
  std::int64_t batch_size = 8;
  std::size_t items = 50, validation = 10;
  std::set<std::size_t> bad;
  bool use_unused = true;
  double dropout = 0;          ///< with one rank: threads share a generator
  bool frozen_in_file = false; ///< the first weight comes without requires_grad
  bool nan_validation = false; ///< the first one
  std::string checkpoint;
  std::uint64_t stop_after = 0; ///< steps reported; 0: never

  Rig() {
    settings.stages = {Stage{"", 2, 0.1, {}, 0, 1, 1}};
    settings.hyper.momentum = 0.9;
    settings.hyper.weight_decay = 1e-3;
    settings.shuffle = true;
    settings.reduce_timeout_s = 30;
  }

  Trained run(int ranks) {
    Trained trained;
    trained.errors.resize(static_cast<std::size_t>(ranks));
    std::mutex mutex;
    std::map<std::size_t, std::shared_ptr<wire::NodeMemory>> memories;
    std::vector<std::thread> threads;
    DataSets data;
    for (std::size_t at = 0; at < items; ++at) data.train.push_back({at, bad.contains(at) ? "bad" : "good", false, "", {}});
    for (std::size_t at = 0; at < validation; ++at) data.validation.push_back({at, "good", false, "", {}});
    std::vector<std::unique_ptr<SmallTraining>> trainings; // made one after the other: they draw from one generator
    for (int rank = 0; rank < ranks; ++rank) trainings.push_back(std::make_unique<SmallTraining>());
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] {
        try {
          one_rank(rank, ranks, *trainings[static_cast<std::size_t>(rank)], data, trained, mutex, memories);
        } catch (const std::exception& error) {
          trained.errors[static_cast<std::size_t>(rank)] = error.what();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const auto& training : trainings) trained.recorded_passes += training->without_items;
    for (const NamedTensor& each : trainings[0]->parameters()) trained.parameters.push_back(each.tensor.detach().clone());
    return trained;
  }

 private:
  void one_rank(int rank, int ranks, SmallTraining& training, const DataSets& data, Trained& trained, std::mutex& mutex,
                std::map<std::size_t, std::shared_ptr<wire::NodeMemory>>& memories) {
    RankContext context;
    context.rank = rank;
    context.world_size = ranks;
    context.batch_size = batch_size;
    training.use_unused = use_unused;
    training.dropout = dropout;
    training.network.first.weight.requires_grad_(!frozen_in_file);
    training.spoilt_evaluations = nan_validation ? 1 : 0;
    const auto streams = DeviceStreams::open(torch::kCPU);
    TraceEvents trace(false, rank, [](std::string_view) {});
    Reports reports;
    Trainer* self = nullptr;
    reports.steps = [&](const wire::Steps& steps) {
      const std::lock_guard lock(mutex);
      trained.steps.insert(trained.steps.end(), steps.steps.begin(), steps.steps.end());
      if (stop_after > 0 && !trained.steps.empty() && trained.steps.back().step >= stop_after) self->stop();
    };
    reports.metrics = [&](const wire::Metrics& metrics) { trained.metrics.push_back(metrics); };
    reports.skipped = [&](const wire::Skipped& skipped) {
      const std::lock_guard lock(mutex);
      trained.skipped.insert(trained.skipped.end(), skipped.items.begin(), skipped.items.end());
    };
    reports.saved = [&](const wire::Saved& saved) {
      const std::lock_guard lock(mutex);
      trained.saved.push_back(saved);
    };
    reports.log = [](std::uint8_t, const std::string&) {};
    auto open_exchange = [&](const collective::FlatLayout& layout, std::size_t stage) {
      collective::SharedSpec spec;
      spec.rank = rank;
      spec.node_of.assign(static_cast<std::size_t>(ranks), 0);
      spec.hosts.assign(static_cast<std::size_t>(ranks), "here");
      spec.timeout_s = settings.reduce_timeout_s;
      if (ranks > 1) {
        const std::lock_guard lock(mutex);
        auto& memory = memories[stage];
        if (memory == nullptr)
          memory = std::make_shared<wire::NodeMemory>(
              wire::NodeMemory::anonymous(collective::NodeMap(layout, static_cast<std::size_t>(ranks), 0).size_bytes));
        spec.memory = memory;
      }
      return collective::open_shared_exchange(spec, layout, collective::states_of(settings.hyper));
    };
    const Probe seen = probe(training, TrialBatch(training, data.train, 4, torch::kCPU).batch, context);
    wire::SharedMemory board = wire::SharedMemory::create(wire::ActivityTable::size_bytes());
    Trainer trainer(settings, context, training, seen.in_order, data, *streams, trace, wire::ActivityTable::in(board), reports,
                    open_exchange);
    self = &trainer;
    try {
      trainer.run(batch_size, checkpoint);
    } catch (...) {
      trainer.abort("another rank failed");
      throw;
    }
  }
};

/// Largest relative difference of two loss curves.
inline double difference(const std::vector<wire::Step>& a, const std::vector<wire::Step>& b) {
  double largest = a.size() == b.size() ? 0 : 1e9;
  for (std::size_t at = 0; at < std::min(a.size(), b.size()); ++at)
    largest = std::max(largest, std::abs(a[at].loss - b[at].loss) / std::abs(b[at].loss));
  return largest;
}

inline bool same_bits(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  for (std::size_t at = 0; at < a.size(); ++at)
    if (!torch::equal(a[at], b[at])) return false;
  return a.size() == b.size();
}

} // namespace mgpu::worker::train
