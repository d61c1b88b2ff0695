// Under mpirun: bench_allreduce node|nodes. What it takes to make sums of all ranks' numbers, by the exchange and by MPI_Allreduce, in
// turn; all ranks on one node, or one a node (emulated). Rank 0 prints lines of "what microseconds", medians.
//
// The exchange's step is more than a sum: it also updates 6.25 million parameters by SGD.
#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/comm/environment.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/supervisor/summing_worker.hpp"
#include "agent/thread_worker.hpp"
#include "common/support/clock.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/collective/channel_inter_node_reducer.hpp"
#include "worker/collective/shared_exchange.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;
using namespace mgpu::worker;
using namespace mgpu::worker::collective;

constexpr std::size_t large = 6'250'000; ///< float32: 25 MB
constexpr std::size_t small = 512;       ///< float64: 4 KB
constexpr std::size_t buckets = 4;
constexpr double timeout_s = 60;
constexpr int rounds = 15;

FlatLayout make_layout() {
  FlatLayout layout;
  layout.elements = large;
  for (std::size_t b = 0; b < buckets; ++b) layout.buckets.push_back({b * large / buckets, (b + 1) * large / buckets});
  return layout;
}

/// An agent with a worker that is a thread; ours() makes the worker do something while the agent serves.
class Rank {
 public:
  Rank(comm::Environment& environment, const wire::Connect& connect, std::pair<int, int> ends)
      : rank_(environment.messenger().rank()), process_(ends.first), channel_(ends.second), reducers_(channel_) {
    wire::Buffer bytes;
    wire::encode(connect, bytes);
    if (comm::NodeReducer* reducer = environment.reducer()) summing_.emplace(process_, *reducer, rank_);
    link().post(wire::Type::connect, bytes);
    reader_ = std::thread([this] { read(); });
  }
  ~Rank() {
    leaving_ = true;
    reader_.join();
  }
  std::shared_ptr<InterNodeReducer> reducer(const std::string& token) { return reducers_.open(token); }

  void ours(const std::function<void()>& work) {
    std::atomic<bool> done = false;
    std::thread worker([&] {
      work();
      done = true;
    });
    agent::Backoff backoff;
    while (!done) {
      const bool busy = link().poll([](auto&&...) {});
      link().flush();
      if (const auto pause = backoff.next(busy); pause.count() > 0) link().wait(pause);
    }
    worker.join();
  }

 private:
  agent::WorkerLink& link() {
    if (summing_) return *summing_;
    return process_;
  }
  void read() {
    while (!leaving_) {
      channel_.wait(std::chrono::milliseconds(10));
      channel_.receive([&](wire::Type type, wire::View payload) {
        if (type == wire::Type::reduced) reducers_.on_reduced(payload);
      });
    }
  }
  int rank_;
  agent::ThreadWorker process_;
  std::optional<agent::SummingWorker> summing_;
  wire::Channel channel_;
  ChannelReducers reducers_;
  std::atomic<bool> leaving_ = false;
  std::thread reader_;
};

struct Side {
  const char* what;
  int repeats;
  std::function<void()> run;
  std::vector<double> seconds;
};

/// The sides take turns, so that a drift of the machine hits all alike.
void measure(std::vector<Side>& sides, int rank) {
  for (int round = 0; round < rounds; ++round)
    for (Side& side : sides) {
      MPI_Barrier(MPI_COMM_WORLD);
      const double begin = now_s();
      side.run();
      side.seconds.push_back((now_s() - begin) / side.repeats);
    }
  for (Side& side : sides) {
    std::sort(side.seconds.begin(), side.seconds.end());
    if (rank == 0) fmt::print("{} {:.2f}\n", side.what, side.seconds[side.seconds.size() / 2] * 1e6);
  }
}

} // namespace

int main(int, char** argv) {
  const bool one_node = std::string_view(argv[1]) == "node";
  if (!one_node) {
    setenv("SLURMD_NODENAME", fmt::format("node{}", comm::LauncherFacts::read().rank).c_str(), 1);
    setenv("OMPI_MCA_pml", "ob1", 1);
    setenv("OMPI_MCA_btl", "self,tcp", 1);
  }
  setenv("OMPI_MCA_mpi_yield_when_idle", "0", 1); // as MPI programs do without us
  comm::Environment environment(comm::LauncherFacts::read());
  const int rank = environment.messenger().rank();
  const int size = environment.messenger().size();
  wire::Connect connect;
  connect.token = fmt::format("bench-{}", getppid());
  for (int r = 0; r < size; ++r) connect.node_of.push_back(one_node ? 0 : r);
  connect.timeout_s = timeout_s;
  Rank worker(environment, connect, wire::Channel::make_pair());

  SharedSpec spec;
  spec.token = connect.token;
  spec.rank = rank;
  spec.node_of = connect.node_of;
  spec.timeout_s = timeout_s;
  if (!one_node) spec.reducer = worker.reducer(spec.token);
  std::unique_ptr<Exchange> exchange;
  worker.ours([&] {
    exchange = open_shared_exchange(spec, make_layout(), 0);
    exchange->broadcast_parameters();
  });

  std::vector<float> in(large, 1), out(large);
  std::fill_n(exchange->gradients(), large, 1.0F);
  std::vector<double> numbers(small, 1), sums(small);
  StepRequest request;
  bool update = true;
  request.decide = [&](std::span<const double>) {
    Decision decision{update, 1e-3, {}};
    decision.hyper.lr = 1e-6;
    return decision;
  };
  // On one node a worker needs no agent; between nodes the agent must serve.
  const auto ours = [&](const std::function<void()>& work) { one_node ? work() : worker.ours(work); };
  constexpr int few = 8;
  constexpr int many = 500;
  std::vector<Side> sides{
      {"ours_25MB",
       few,
       [&] {
         ours([&] {
           for (int i = 0; i < few; ++i) exchange->step(request);
         });
       },
       {}},
      {"ours_without_update_25MB", // between nodes: the sum alone; on one node there is none without an update
       few,
       [&] {
         ours([&] {
           update = false;
           for (int i = 0; i < few; ++i) exchange->step(request);
           update = true;
         });
       },
       {}},
      {"mpi_25MB",
       few,
       [&] {
         for (int i = 0; i < few; ++i)
           MPI_Allreduce(in.data(), out.data(), static_cast<int>(large), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
       },
       {}},
      {"ours_4KB",
       many,
       [&] {
         ours([&] {
           for (int i = 0; i < many; ++i) {
             std::copy(numbers.begin(), numbers.end(), sums.begin());
             exchange->sum(sums, "bench");
           }
         });
       },
       {}},
      {"mpi_4KB",
       many,
       [&] {
         for (int i = 0; i < many; ++i)
           MPI_Allreduce(numbers.data(), sums.data(), static_cast<int>(small), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
       },
       {}},
  };
  measure(sides, rank);
  worker.ours([&] { exchange.reset(); });
}
