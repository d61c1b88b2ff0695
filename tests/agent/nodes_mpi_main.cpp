// Under mpirun: nodes_mpi RANKS_PER_NODE. Every rank is an agent with a worker (a thread) that trains a few steps over emulated
// nodes: shared memory, frames, MPI. Each rank computes itself what must come out. A watchdog ends a hang.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "agent/comm/environment.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/supervisor/summing_worker.hpp"
#include "agent/thread_worker.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/error.hpp"
#include "worker/collective/channel_inter_node_reducer.hpp"
#include "worker/collective/shared_exchange.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;
using namespace mgpu::worker::collective;

constexpr unsigned watchdog_s = 60;
constexpr int steps = 6;
constexpr float lr = 0.25F;

void fail(const std::string& reason) {
  fmt::print(stderr, "{}\n", reason);
  std::fflush(nullptr);
  _exit(1);
}

FlatLayout make_layout() {
  FlatLayout layout;
  layout.elements = 400'000;
  layout.buckets = {{150'000, 400'000}, {1000, 150'000}, {0, 1000}};
  return layout;
}

/// Multiples of a quarter: exact sums.
float gradient(int step, int rank, std::size_t i) {
  return static_cast<float>((i + static_cast<std::size_t>(rank * 11 + step * 5)) % 37) - 18;
}

void train(Exchange& exchange) {
  const FlatLayout layout = make_layout();
  std::vector<float> expected(layout.elements, 1);
  if (exchange.rank() == 0) std::fill_n(exchange.parameters(), layout.elements, 1.0F);
  exchange.broadcast_parameters();
  for (int step = 1; step <= steps; ++step) {
    for (std::size_t bucket = 0; bucket < layout.buckets.size(); ++bucket) {
      const Slice part = layout.buckets[bucket];
      for (std::size_t i = part.begin; i < part.end; ++i) exchange.gradients()[i] = gradient(step, exchange.rank(), i);
      exchange.ready(bucket);
    }
    double samples = 2;
    StepRequest request;
    request.facts = {&samples, 1};
    request.clip_norm = step == 3 ? 1e9 : 0;
    request.decide = [](std::span<const double> facts) {
      Decision decision{true, 1 / facts[0], {}};
      decision.hyper.lr = lr;
      return decision;
    };
    const StepResult result = exchange.step(request);
    if (!result.updated || samples != 2 * exchange.size()) fail(fmt::format("step {}: {} samples", step, samples));
    double squares = 0;
    for (std::size_t i = 0; i < layout.elements; ++i) {
      float sum = 0;
      for (int rank = 0; rank < exchange.size(); ++rank) sum += gradient(step, rank, i);
      squares += static_cast<double>(sum) * sum;
      expected[i] += -lr * (sum * static_cast<float>(1 / samples));
    }
    if (step == 3 && std::abs(result.grad_norm - std::sqrt(squares) / samples) > 1e-6) fail("the norm differs");
    if (std::memcmp(exchange.parameters(), expected.data(), expected.size() * sizeof(float)) != 0)
      fail(fmt::format("rank {}: parameters differ after step {}", exchange.rank(), step));
  }
  std::vector<float> means(9000, static_cast<float>(exchange.rank()));
  exchange.mean(means, "means");
  if (means.back() != static_cast<float>(exchange.size() - 1) / 2) fail("the mean differs");
  exchange.barrier("end");
}

void work(wire::Channel& channel, const wire::Connect& connect, int rank, bool first) {
  ChannelReducers reducers(channel);
  std::atomic<bool> leaving = false;
  std::thread reader([&] {
    while (!leaving) {
      channel.wait(std::chrono::milliseconds(1));
      channel.receive([&](wire::Type type, wire::View payload) {
        if (type == wire::Type::reduced) reducers.on_reduced(payload);
      });
    }
  });
  try {
    for (const char* stage : {"-stage1", "-stage2"}) {
      SharedSpec spec;
      spec.token = connect.token + stage;
      spec.rank = rank;
      spec.node_of = connect.node_of;
      spec.hosts = connect.hosts;
      spec.timeout_s = connect.timeout_s;
      if (first) spec.reducer = reducers.open(spec.token);
      train(*open_shared_exchange(spec, make_layout(), 0));
    }
  } catch (const Error& error) {
    fail(fmt::format("rank {}: {}", rank, error.what()));
  }
  leaving = true;
  reader.join();
}

} // namespace

int main(int, char** argv) {
  alarm(watchdog_s);
  const int per_node = std::atoi(argv[1]);
  setenv("SLURMD_NODENAME", fmt::format("node{}", comm::LauncherFacts::read().rank / per_node).c_str(), 1);
  setenv("OMPI_MCA_pml", "ob1", 1);
  setenv("OMPI_MCA_btl", "self,tcp", 1);
  comm::Environment environment(comm::LauncherFacts::read());
  const int rank = environment.messenger().rank();
  const int size = environment.messenger().size();

  const auto [agent_fd, worker_fd] = wire::Channel::make_pair();
  agent::ThreadWorker process(agent_fd);
  std::optional<agent::SummingWorker> summing;
  if (environment.reducer() != nullptr) summing.emplace(process, *environment.reducer(), rank);
  agent::WorkerLink& link = summing ? static_cast<agent::WorkerLink&>(*summing) : process;
  wire::Channel channel(worker_fd);
  wire::Connect connect;
  // The same for all ranks of one mpirun.
  connect.token = fmt::format("nodes-test-{}", getppid());
  for (int r = 0; r < size; ++r) {
    connect.node_of.push_back(r / per_node);
    connect.hosts.push_back(fmt::format("host{}", r / per_node));
  }
  connect.timeout_s = 30;
  wire::Buffer bytes;
  wire::encode(connect, bytes);
  link.post(wire::Type::connect, bytes);

  std::atomic<bool> done = false;
  std::thread worker([&] {
    work(channel, connect, rank, rank % per_node == 0);
    done = true;
  });
  agent::Backoff backoff;
  while (!done) {
    const bool busy = link.poll([](wire::Type type, wire::View payload, const std::shared_ptr<void>&) {
      if (type == wire::Type::failure) fail(wire::decode<wire::Failure>(payload).text);
    });
    link.flush();
    if (const auto pause = backoff.next(busy); pause.count() > 0) link.wait(pause);
  }
  worker.join();
  environment.self_test();
  if (wire::unlink_node_memory(connect.token, rank / per_node) > 0) fail("shared memory was left behind");
  if (rank == 0) fmt::print("{} ranks, {} a node, trained\n", size, per_node);
  return 0;
}
