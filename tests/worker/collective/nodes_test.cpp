// Several nodes in one process: threads as ranks, and a network that adds what the nodes' first ranks give it.
#include <gmock/gmock.h>

#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>

#include "common/support/clock.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/collective/channel_inter_node_reducer.hpp"
#include "worker/collective/ranks.hpp"

namespace mgpu::worker::collective {
namespace {

using testing::HasSubstr;

/// Sums the k-th ranges that nodes begin on a stream, when the last node has begun it.
class FakeNetwork {
 public:
  explicit FakeNetwork(int nodes) : nodes_(nodes) {}

  void begin(int node, std::byte* memory, const InterNodeSum& sum) {
    const std::lock_guard lock(mutex_);
    auto& waiting = begun_[{sum.stream, counts_[{sum.stream, node}]++}];
    waiting.push_back({node, memory, sum});
    if (static_cast<int>(waiting.size()) < nodes_) return;
    sum.type == NumberType::float32 ? add<float>(waiting) : add<double>(waiting);
    for (const Part& part : waiting) done_[{part.node, part.sum.id}] = true;
    changed_.notify_all();
  }
  bool wait(int node, std::uint64_t id, double timeout_s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return done_.contains({node, id}); });
  }

 private:
  struct Part {
    int node;
    std::byte* memory;
    InterNodeSum sum;
  };
  template <typename T>
  static void add(const std::vector<Part>& parts) {
    for (std::size_t i = 0; i < parts[0].sum.count; ++i) {
      T total = 0;
      for (const Part& part : parts) {
        EXPECT_EQ(part.sum.count, parts[0].sum.count);
        total += reinterpret_cast<T*>(part.memory + part.sum.offset)[i];
      }
      for (const Part& part : parts) reinterpret_cast<T*>(part.memory + part.sum.offset)[i] = total;
    }
  }
  int nodes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<Stream, int>, int> counts_;
  std::map<std::pair<Stream, int>, std::vector<Part>> begun_;
  std::map<std::pair<int, std::uint64_t>, bool> done_;
};

class FakeReducer final : public InterNodeReducer {
 public:
  FakeReducer(FakeNetwork& network, int node, std::byte* memory) : network_(network), node_(node), memory_(memory) {}
  void begin(const InterNodeSum& sum) override { network_.begin(node_, memory_, sum); }
  void wait(std::uint64_t id, double timeout_s, std::string_view operation) override {
    if (!network_.wait(node_, id, timeout_s)) throw Error(fmt::format("{}: no sum over the nodes", operation));
  }
  void abort(std::string_view) override {}

 private:
  FakeNetwork& network_;
  int node_;
  std::byte* memory_;
};

FlatLayout layout() {
  FlatLayout layout;
  layout.elements = 3000;
  layout.buckets = {{2000, 3000}, {500, 2000}, {0, 500}};
  layout.undecayed = {{40, 600}};
  return layout;
}

/// Exact sums in any order: small integers.
float gradient(int step, int rank, std::size_t i) {
  return static_cast<float>((i * 7 + static_cast<std::size_t>(rank * 5 + step)) % 64) - 31;
}

Decision decide(std::span<const double> facts, int step) {
  Decision decision{true, 1 / facts[0], {}};
  decision.hyper.lr = 0.25;
  decision.hyper.momentum = 0.5;
  decision.hyper.weight_decay = 0.125;
  decision.hyper.step = static_cast<std::uint64_t>(step);
  return decision;
}

constexpr int steps = 12;

/// Some steps of every kind; returns the parameters.
std::vector<float> train(Exchange& exchange) {
  float* parameters = exchange.parameters();
  if (exchange.rank() == 0) std::fill_n(parameters, layout().elements, 1.5F);
  exchange.broadcast_parameters();
  for (int step = 1; step <= steps; ++step) {
    for (const std::size_t bucket : {1, 0, 2}) {
      const Slice part = layout().buckets[bucket];
      for (std::size_t i = part.begin; i < part.end; ++i) exchange.gradients()[i] = gradient(step, exchange.rank(), i);
      if (bucket != 2) exchange.ready(bucket); // the last is announced by step()
    }
    std::vector<double> facts{1.0, 0.1 * exchange.rank()};
    StepRequest request;
    request.facts = facts;
    request.check_finite = step % 3 == 0;
    request.clip_norm = step % 4 == 0 ? 100 : 0;
    request.decide = [&](std::span<const double> sums) {
      Decision decision = decide(sums, step);
      decision.update = step != 5;
      return decision;
    };
    EXPECT_EQ(exchange.step(request).updated, step != 5);
    std::vector<float> means{static_cast<float>(exchange.rank()), 3.0F};
    exchange.mean(means, "means");
    EXPECT_EQ(means[0], static_cast<float>(exchange.size() - 1) / 2);
  }
  EXPECT_EQ(exchange.least(-exchange.rank(), "least"), 1 - exchange.size());
  const std::vector<float> result(parameters, parameters + layout().elements);
  exchange.barrier("end");
  return result;
}

SharedSpec spec_of(int rank, const std::vector<int>& node_of) {
  SharedSpec spec = one_node("", rank, static_cast<int>(node_of.size()));
  spec.node_of = node_of;
  return spec;
}

std::vector<std::vector<float>> train_threads(const std::vector<int>& node_of) {
  const int nodes = 1 + node_of.back();
  FakeNetwork network(nodes);
  std::vector<std::shared_ptr<wire::NodeMemory>> memories;
  for (int node = 0; node < nodes; ++node)
    memories.push_back(std::make_shared<wire::NodeMemory>(wire::NodeMemory::anonymous(1 << 22)));
  std::vector<std::vector<float>> results(node_of.size());
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < node_of.size(); ++rank)
    threads.emplace_back([&, rank] {
      SharedSpec spec = spec_of(static_cast<int>(rank), node_of);
      const int node = node_of[rank];
      spec.memory = memories[static_cast<std::size_t>(node)];
      const bool first = rank == 0 || node_of[rank - 1] != node;
      if (first && nodes > 1) spec.reducer = std::make_shared<FakeReducer>(network, node, spec.memory->data());
      try {
        results[rank] = train(*open_shared_exchange(spec, layout(), 1));
      } catch (const Error& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
      }
    });
  for (auto& thread : threads) thread.join();
  return results;
}

TEST(Nodes, RanksOnSeveralNodesEqualRanksOnOne) {
  const auto one = train_threads({0, 0, 0, 0});
  EXPECT_EQ(one[3], one[0]);
  for (const std::vector<int>& node_of : {std::vector<int>{0, 0, 1, 1}, {0, 0, 0, 1}, {0, 1, 2, 3}}) {
    const auto several = train_threads(node_of);
    for (const auto& parameters : several) EXPECT_EQ(parameters, several[0]);
    for (std::size_t i = 0; i < layout().elements; ++i) ASSERT_NEAR(several[0][i], one[0][i], 1e-5 * std::abs(one[0][i])) << i;
  }
}

TEST(Nodes, ANodeThatDoesNotAnswerIsAnErrorOfAllItsRanks) {
  FakeNetwork network(2);
  const auto memory = std::make_shared<wire::NodeMemory>(wire::NodeMemory::anonymous(1 << 22));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank)
    threads.emplace_back([&, rank] {
      SharedSpec spec = spec_of(rank, {0, 0, 1});
      spec.memory = memory;
      spec.timeout_s = 0.5;
      if (rank == 0) spec.reducer = std::make_shared<FakeReducer>(network, 0, memory->data());
      const auto exchange = open_shared_exchange(spec, layout(), 0);
      const std::string error = error_of([&] { exchange->barrier("lunch"); });
      EXPECT_THAT(error,
                  testing::AnyOf(HasSubstr("lunch: no sum over the nodes"), HasSubstr("lunch: after 0.5 s still waiting")));
    });
  for (auto& thread : threads) thread.join();
}

TEST(ChannelReducers, FramesGoOutAndAnswersWake) {
  const auto [worker_fd, agent_fd] = wire::Channel::make_pair();
  wire::Channel worker(worker_fd), agent(agent_fd);
  ChannelReducers reducers(worker);
  const auto reducer = reducers.open("token-a");
  reducer->begin({7, Stream::numbers, 4096, 100, NumberType::float64});
  agent.wait(std::chrono::seconds(5));
  wire::Buffer answer;
  agent.receive([&](wire::Type type, wire::View payload) {
    EXPECT_EQ(type, wire::Type::reduce);
    const auto frame = wire::decode<wire::Reduce>(payload);
    EXPECT_EQ(frame.stream, 1);
    EXPECT_EQ(frame.offset, 4096u);
    EXPECT_EQ(frame.count, 100u);
    EXPECT_EQ(frame.type, 1);
    EXPECT_EQ(frame.memory, "token-a");
    answer.assign(payload.begin(), payload.end());
  });
  std::thread reader([&] { reducers.on_reduced(answer); });
  EXPECT_THAT(error_of([&] { reducers.open("token-b")->wait(7, 0.1, "sum"); }), HasSubstr("sum: after 0.1 s"));
  reducer->wait(7, 5, "sum");
  reader.join();
  EXPECT_THAT(error_of([&] { reducer->wait(8, 0.1, "sum"); }), HasSubstr("sum: after 0.1 s"));
  reducer->abort("the worker ends");
  EXPECT_EQ(error_of([&] { reducer->wait(8, 10, "sum"); }), "the worker ends");
}

} // namespace
} // namespace mgpu::worker::collective
