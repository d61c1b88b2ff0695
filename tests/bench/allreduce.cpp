// Under mpirun: what it takes to make sums of all ranks' numbers, by the exchange and by MPI_Allreduce, in turn. Rank 0 prints lines
// of "what microseconds".
#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "collective/shared_exchange.hpp"
#include "support/clock.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::collective;

constexpr std::size_t large = 6'250'000; ///< float32: 25 MB
constexpr std::size_t small = 512;       ///< float64: 4 KB
constexpr std::size_t bucket = 6'250'000 / 4;

FlatLayout layout_of(std::size_t elements) {
  FlatLayout layout;
  layout.elements = elements;
  for (std::size_t begin = 0; begin < elements; begin += bucket)
    layout.buckets.push_back({begin, std::min(begin + bucket, elements)});
  return layout;
}

/// Median over rounds of the mean over `repeats` calls, taking turns with the other sides.
struct Side {
  const char* what;
  int repeats;
  std::function<void()> run;
  std::vector<double> seconds;
};

void measure(std::vector<Side>& sides, int rounds, int rank) {
  for (int round = 0; round < rounds; ++round)
    for (Side& side : sides) {
      MPI_Barrier(MPI_COMM_WORLD);
      const double begin = now_s();
      for (int i = 0; i < side.repeats; ++i) side.run();
      side.seconds.push_back((now_s() - begin) / side.repeats);
    }
  for (Side& side : sides) {
    std::sort(side.seconds.begin(), side.seconds.end());
    if (rank == 0) fmt::print("{} {:.2f}\n", side.what, side.seconds[side.seconds.size() / 2] * 1e6);
  }
}

} // namespace

int main() {
  MPI_Init(nullptr, nullptr);
  SharedSpec spec;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &spec.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int first_pid = getpid();
  MPI_Bcast(&first_pid, 1, MPI_INT, 0, MPI_COMM_WORLD);
  spec.token = fmt::format("bench-{}", first_pid);
  spec.node_of.assign(static_cast<std::size_t>(size), 0);
  spec.timeout_s = 60;
  const auto exchange = open_shared_exchange(spec, layout_of(large), 0);
  exchange->broadcast_parameters();

  std::vector<float> in(large, 1), out(large);
  std::fill_n(exchange->gradients(), large, 1.0F);
  std::vector<double> numbers(small, 1), sums(small);
  StepRequest request;
  request.decide = [&](std::span<const double>) {
    Decision decision{true, 1.0 / size, {}};
    decision.hyper.lr = 1e-6;
    return decision;
  };
  std::vector<Side> sides{
      {"step_25MB", 1, [&] { exchange->step(request); }, {}},
      {"mpi_25MB",
       1,
       [&] { MPI_Allreduce(in.data(), out.data(), static_cast<int>(large), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); },
       {}},
      {"mpi_in_place_25MB",
       1,
       [&] { MPI_Allreduce(MPI_IN_PLACE, out.data(), static_cast<int>(large), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); },
       {}},
      {"sum_4KB",
       1000,
       [&] {
         std::copy(numbers.begin(), numbers.end(), sums.begin());
         exchange->sum(sums, "bench");
       },
       {}},
      {"mpi_4KB",
       1000,
       [&] { MPI_Allreduce(numbers.data(), sums.data(), static_cast<int>(small), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD); },
       {}},
  };
  measure(sides, 25, spec.rank);
  MPI_Finalize();
}
