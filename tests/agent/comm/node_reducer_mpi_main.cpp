// Under mpirun: node_reducer_mpi RANKS_PER_NODE emulates nodes on one machine and sums over them. Every first rank computes itself
// what must come out. Exits non-zero, with a line, on the first difference; a watchdog ends a hang.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "agent/comm/environment.hpp"
#include "common/support/clock.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/error.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

constexpr unsigned watchdog_s = 60;
constexpr std::size_t memory_bytes = 40u << 20;

void fail(const std::string& reason) {
  fmt::print(stderr, "{}\n", reason);
  std::fflush(nullptr);
  _exit(1);
}

/// Small integers, so that sums are exact in any order.
double number(int node, std::uint64_t id, std::size_t i) {
  return static_cast<double>((i * 7 + static_cast<std::size_t>(node) * 31 + id * 3) % 101);
}

template <typename T>
void fill(std::byte* at, std::size_t count, int node, std::uint64_t id) {
  for (std::size_t i = 0; i < count; ++i) reinterpret_cast<T*>(at)[i] = static_cast<T>(number(node, id, i));
}

template <typename T>
void check(const std::byte* at, std::size_t count, int nodes, std::uint64_t id) {
  for (std::size_t i = 0; i < count; ++i) {
    double expected = 0;
    for (int node = 0; node < nodes; ++node) expected += number(node, id, i);
    if (static_cast<double>(reinterpret_cast<const T*>(at)[i]) != expected)
      fail(fmt::format("sum {} of {}: number {} is {} instead of {}", id, count, i, reinterpret_cast<const T*>(at)[i], expected));
  }
}

void expect_error(const std::string& part, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    if (std::strstr(error.what(), part.c_str()) == nullptr) fail(fmt::format("'{}' is not in '{}'", part, error.what()));
    return;
  }
  fail(fmt::format("no error with '{}'", part));
}

void sum_many(comm::NodeReducer& reducer, int node, int nodes) {
  std::vector<std::byte> memory(memory_bytes);
  std::map<std::uint64_t, wire::Reduce> open;
  std::size_t offset = 0;
  std::uint64_t id = 0;
  for (const std::size_t count : {1, 5, 511, 8192, 16384, 16385, 100'000, 1'000'003, 3'000'000})
    for (const std::uint8_t stream : {0, 1}) {
      wire::Reduce request{++id, stream, offset, count, stream};
      if (request.type == 0)
        fill<float>(&memory[offset], count, node, id);
      else
        fill<double>(&memory[offset], request.count = std::min<std::size_t>(count, 300'000), node, id);
      offset += (request.count * (request.type == 0 ? 4 : 8) + 63) / 64 * 64;
      open[id] = request;
    }
  std::map<std::uint64_t, bool> done;
  const auto note = [&](const wire::Reduce& finished) { done[finished.id] = true; };
  // The two streams begin at different times on different nodes.
  for (const std::uint8_t stream : {node % 2, 1 - node % 2}) {
    for (const auto& [key, request] : open)
      if (request.stream == stream) reducer.begin(request, memory.data(), memory.size());
    reducer.poll(30, note);
    if (stream == node % 2) usleep(1000u * static_cast<unsigned>(node));
  }
  while (reducer.busy()) reducer.poll(30, note);
  for (const auto& [key, request] : open) {
    if (!done.contains(key)) fail(fmt::format("sum {} was not announced", key));
    if (request.type == 0)
      check<float>(&memory[request.offset], request.count, nodes, key);
    else
      check<double>(&memory[request.offset], request.count, nodes, key);
  }
  expect_error("are not in the shared memory", [&] {
    reducer.begin({1, 0, memory_bytes - 8, 3, 0}, memory.data(), memory.size());
  });
}

/// The last node comes late: the others say so in time, and can still go on.
void wait_for_a_late_node(comm::NodeReducer& reducer, int node, int nodes) {
  const wire::Reduce request{77, 0, 0, 50'000, 0};
  std::vector<std::byte> memory(request.count * sizeof(float));
  fill<float>(memory.data(), request.count, node, request.id);
  if (node == nodes - 1) usleep(800'000);
  reducer.begin(request, memory.data(), memory.size());
  if (node < nodes - 1)
    expect_error(fmt::format("node node{}: the sum of 50000 gradients over {} nodes is not complete after 0.2 s", node, nodes),
                 [&] {
                   while (reducer.busy()) reducer.poll(0.2, [](const wire::Reduce&) {});
                 });
  while (reducer.busy()) reducer.poll(30, [](const wire::Reduce&) {});
  check<float>(memory.data(), request.count, nodes, request.id);
}

/// The nodes are stopped at different places; what was under way is dropped, twice, and the sums after it are right.
void drop_what_is_under_way(comm::NodeReducer& reducer, int node, int nodes) {
  std::vector<std::byte> old(memory_bytes), memory(memory_bytes);
  for (int round = 0; round < 2; ++round) {
    std::size_t offset = 0;
    for (std::uint64_t id = 0; id < static_cast<std::uint64_t>(2 + node); ++id) { // the last node has begun most
      const wire::Reduce request{id, 0, offset, 400'000 + id, 0};
      reducer.begin(request, old.data(), old.size());
      offset += 400'016 * sizeof(float);
    }
    for (std::uint64_t id = 0; id < static_cast<std::uint64_t>(nodes - node); ++id) // and the first most of the small ones
      reducer.begin({id, 1, 32u << 20, 3, 1}, old.data(), old.size());
    usleep(2000u * static_cast<unsigned>(node));
    reducer.drop();
  }
  const wire::Reduce large{501, 0, 0, 300'000, 0}, small{502, 1, 2'000'000, 7, 1};
  fill<float>(memory.data(), large.count, node, large.id);
  fill<double>(&memory[small.offset], small.count, node, small.id);
  int announced = 0;
  const auto count = [&](const wire::Reduce& sum) {
    if (sum.id < large.id) fail(fmt::format("sum {} was announced though it was dropped", sum.id));
    ++announced;
  };
  for (const wire::Reduce& request : {large, small}) reducer.begin(request, memory.data(), memory.size());
  while (reducer.busy()) reducer.poll(30, count);
  if (announced != 2) fail(fmt::format("{} sums were announced instead of 2", announced));
  check<float>(memory.data(), large.count, nodes, large.id);
  check<double>(&memory[small.offset], small.count, nodes, small.id);
}

} // namespace

int main(int, char** argv) {
  alarm(watchdog_s);
  const int per_node = std::atoi(argv[1]);
  const int node = comm::LauncherFacts::read().rank / per_node;
  setenv("SLURMD_NODENAME", fmt::format("node{}", node).c_str(), 1);
  setenv("OMPI_MCA_pml", "ob1", 1);
  setenv("OMPI_MCA_btl", "self,tcp", 1);
  comm::Environment environment(comm::LauncherFacts::read());
  const int rank = environment.messenger().rank();
  const int size = environment.messenger().size();
  const int nodes = (size + per_node - 1) / per_node;
  comm::NodeReducer& reducer = *environment.reducer();
  if (nodes > 1 && rank % per_node == 0) {
    sum_many(reducer, node, nodes);
    wait_for_a_late_node(reducer, node, nodes);
    drop_what_is_under_way(reducer, node, nodes);
  } else {
    std::byte nothing[8];
    expect_error("does not sum", [&] { reducer.begin({1, 0, 0, 1, 0}, nothing, sizeof nothing); });
  }
  environment.self_test();
  if (rank == 0) fmt::print("{} nodes of {} ranks summed\n", nodes, per_node);
  return 0;
}
