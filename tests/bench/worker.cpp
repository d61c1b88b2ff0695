// What a worker adds to the model, and how fast the model itself is. bench_worker FOLDER
//   calls:   batches of one empty item through the worker's loaders, run thread and ring, grants and releases included
//   forward: our opened ResNet-18 beside Python's freeze + optimize_for_inference on the same file, one thread, alternating
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/script.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>

#include "common/wire/batch_result.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"
#include "mgpu/model.hpp"
#include "worker/run/session.hpp"
#include "worker/run/worker.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::worker;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// A job that does nothing: what is left is the worker's own cost.
class EmptyWork : public Work {
 public:
  void open(const RankContext&) override {}
  std::optional<RowSpec> row_spec() const override { return RowSpec{{1}, torch::kFloat}; }
  void prepare(const Item&, Sample& sample) override { *sample.input.mutable_data_ptr<float>() = 0; }
  void run(const Batch& batch, Outputs& outputs) override { outputs.add("value", batch.input); }
};

double microseconds_a_batch(std::uint64_t batches, std::uint64_t in_flight) {
  const auto [agent_end, worker_end] = wire::Channel::make_pair();
  wire::SharedMemory ring = wire::SharedMemory::create(4u << 20);
  wire::SharedMemory activity_table = wire::SharedMemory::create(wire::ActivityTable::size_bytes());
  wire::Channel agent(agent_end);
  std::thread worker_thread([end = worker_end, &ring, &activity_table] {
    wire::Channel channel(end);
    Worker(channel, ring, wire::ActivityTable::in(activity_table), [](SessionParts parts) {
      return std::make_unique<Session>(std::move(parts), [](const std::string&) { return std::make_unique<EmptyWork>(); });
    }).run();
  });
  wire::Configure configure;
  configure.config_json = "{}";
  configure.batches_in_flight = static_cast<std::int32_t>(in_flight);
  agent.send(wire::Type::configure, configure);
  std::uint64_t granted = 0, received = 0;
  auto begin = Clock::now();
  const auto grant_more = [&] {
    wire::Grant grant;
    for (; granted < batches && granted < received + in_flight; ++granted) {
      grant.batches.push_back({granted, granted, 1, {}});
      grant.batches.back().items.emplace_back().index = granted;
    }
    if (!grant.batches.empty()) agent.post(wire::Type::grant, grant);
    agent.flush();
  };
  while (received < batches && !agent.closed()) {
    agent.wait(std::chrono::seconds(1));
    agent.receive([&](wire::Type type, wire::View payload) {
      if (type == wire::Type::opened) begin = Clock::now();
      if (type != wire::Type::shared_results) return;
      agent.post(wire::Type::release, payload);
      ++received;
    });
    grant_more();
  }
  const double elapsed_s = seconds_since(begin);
  agent.send(wire::Type::finish);
  worker_thread.join();
  return elapsed_s / static_cast<double>(batches) * 1e6;
}

/// Processor time of this thread: other programs on the machine do not count.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Pictures a processor second of the best of several calls.
double forward_rate(Model& model, std::int64_t batch_size) {
  const c10::InferenceMode inference;
  const torch::Tensor input = torch::rand({batch_size, 3, 224, 224});
  double best = 0;
  for (const auto begin = Clock::now(); seconds_since(begin) < 4;) {
    const double call = thread_seconds();
    model.run({input});
    best = std::max(best, static_cast<double>(batch_size) / (thread_seconds() - call));
  }
  return best;
}

double python_rate(const std::string& file, std::int64_t batch_size) {
  const std::string command = fmt::format("{} {} rate {} {}", MGPU_PYTHON, MGPU_PEER_SCRIPT, file, batch_size);
  FILE* answer = popen(command.c_str(), "r");
  double rate = 0;
  if (answer == nullptr || fscanf(answer, "%lf", &rate) != 1) fmt::print("no answer from {}\n", command);
  if (answer != nullptr) pclose(answer);
  return rate;
}

void bench_forward(const std::string& folder) {
  const std::string file = folder + "/resnet18.pt";
  if (!std::filesystem::exists(file) &&
      std::system(fmt::format("{} {} make {}", MGPU_PYTHON, MGPU_PEER_SCRIPT, file).c_str()) != 0)
    return;
  at::set_num_threads(1);
  RankContext context;
  const auto begin = Clock::now();
  const auto model = Model::open(file, context);
  fmt::print("ResNet-18, one thread; opened in {:.2f} s\n", seconds_since(begin));
  for (const std::int64_t batch_size : {8, 16, 32}) {
    const double ours = forward_rate(*model, batch_size), python = python_rate(file, batch_size);
    fmt::print("  batch {:2}: {:5.1f} pictures/s, Python {:5.1f}, ratio {:.2f}\n", batch_size, ours, python, ours / python);
  }
}

} // namespace

int main(int argc, char** argv) {
  for (const std::uint64_t in_flight : {4, 64, 512})
    fmt::print("empty batches of one item, {:3} in activity_table: {:.2f} us a batch\n", in_flight,
               microseconds_a_batch(100'000, in_flight));
  bench_forward(argc > 1 ? argv[1] : std::filesystem::temp_directory_path().string());
}
