// Ranks as processes on one node: results equal a serial computation bit for bit.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "mgpu/error.hpp"
#include "worker/collective/ranks.hpp"

namespace mgpu::worker::collective {
namespace {

using testing::HasSubstr;

FlatLayout some_layout() {
  FlatLayout layout;
  layout.elements = 5000;
  layout.buckets = {{4000, 5000}, {3999, 4000}, {100, 3999}, {0, 100}}; // backward finishes the end first
  layout.undecayed = {{0, 10}, {90, 130}, {2100, 2101}, {4990, 5000}};
  return layout;
}

float gradient(int step, int rank, std::size_t i) {
  return std::sin(static_cast<float>(i) * 0.37F + static_cast<float>(rank) * 1.7F + static_cast<float>(step));
}

float first_parameter(std::size_t i) {
  return std::cos(static_cast<float>(i));
}

bool decayed(const FlatLayout& layout, std::size_t i) {
  for (const Slice& part : layout.undecayed)
    if (part.begin <= i && i < part.end) return false;
  return true;
}

Hyper sgd(int step) {
  Hyper hyper;
  hyper.lr = 0.1 / step;
  hyper.momentum = 0.9;
  hyper.weight_decay = 1e-2;
  hyper.step = static_cast<std::uint64_t>(step);
  return hyper;
}

/// SGD with momentum, one number after another.
std::vector<float> serial(int size, int steps, double scale) {
  const FlatLayout layout = some_layout();
  std::vector<float> parameters(layout.elements), momentum(layout.elements);
  for (std::size_t i = 0; i < layout.elements; ++i) parameters[i] = first_parameter(i);
  for (int step = 1; step <= steps; ++step) {
    const Hyper hyper = sgd(step);
    for (std::size_t i = 0; i < layout.elements; ++i) {
      float sum = gradient(step, 0, i);
      for (int rank = 1; rank < size; ++rank) sum += gradient(step, rank, i);
      sum *= static_cast<float>(scale);
      if (decayed(layout, i)) sum += static_cast<float>(hyper.weight_decay) * parameters[i];
      momentum[i] = static_cast<float>(hyper.momentum) * momentum[i] + sum;
      parameters[i] += static_cast<float>(-hyper.lr) * momentum[i];
    }
  }
  return parameters;
}

StepResult take_step(Exchange& exchange, int step, double clip_norm = 0, bool check_finite = false) {
  const std::size_t elements = some_layout().elements;
  for (std::size_t i = 0; i < elements; ++i) exchange.gradients()[i] = gradient(step, exchange.rank(), i);
  for (std::size_t bucket = 0; bucket < some_layout().buckets.size(); ++bucket) exchange.ready(bucket);
  std::vector<double> facts{1.0, 0.1 * exchange.rank()};
  StepRequest request;
  request.facts = facts;
  request.clip_norm = clip_norm;
  request.check_finite = check_finite;
  request.decide = [&](std::span<const double> sums) { return Decision{true, 1 / sums[0], sgd(step)}; };
  return exchange.step(request);
}

std::unique_ptr<Exchange> opened(const SharedSpec& spec) {
  auto exchange = open_shared_exchange(spec, some_layout(), 1);
  if (exchange->rank() == 0)
    for (std::size_t i = 0; i < some_layout().elements; ++i) exchange->parameters()[i] = first_parameter(i);
  exchange->broadcast_parameters();
  return exchange;
}

void expect_bits(const float* got, const std::vector<float>& expected) {
  EXPECT_EQ(std::memcmp(got, expected.data(), expected.size() * sizeof(float)), 0);
}

class Ranks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(OneNode, Ranks, testing::Values(1, 2, 4));

TEST_P(Ranks, StepsEqualASerialComputation) {
  const int size = GetParam();
  constexpr int steps = 5;
  const auto expected = serial(size, steps, 1.0 / size);
  const std::string token = new_token();
  expect_all_good(run_processes(size, [&](int rank) {
    const auto exchange = opened(one_node(token, rank, size));
    for (int step = 1; step <= steps; ++step) EXPECT_TRUE(take_step(*exchange, step).updated);
    expect_bits(exchange->parameters(), expected);
    exchange->barrier("comparing");
  }));
  EXPECT_EQ(wire::unlink_node_memory(token, 0), 0); // nothing is left
}

TEST_P(Ranks, ClippingScalesToTheNorm) {
  const int size = GetParam();
  double squares = 0;
  for (std::size_t i = 0; i < some_layout().elements; ++i) {
    float sum = 0;
    for (int rank = 0; rank < size; ++rank) sum += gradient(1, rank, i);
    squares += static_cast<double>(sum) * sum;
  }
  const double norm = std::sqrt(squares) / size;
  const std::string token = new_token();
  const auto loose = serial(size, 1, 1.0 / size);
  const auto tight = serial(size, 1, 1.0 / size * (0.5 / (norm + 1e-6)));
  expect_all_good(run_processes(size, [&](int rank) {
    const auto exchange = opened(one_node(token, rank, size));
    EXPECT_NEAR(take_step(*exchange, 1, 1e9).grad_norm, norm, norm * 1e-12);
    expect_bits(exchange->parameters(), loose);
    exchange->barrier("comparing");
    if (rank == 0)
      for (std::size_t i = 0; i < some_layout().elements; ++i) exchange->parameters()[i] = first_parameter(i);
    exchange->broadcast_parameters();
    take_step(*exchange, 1, 0.5);
    for (std::size_t i = 0; i < tight.size(); ++i) ASSERT_NEAR(exchange->parameters()[i], tight[i], 1e-7);
    exchange->barrier("comparing");
  }));
}

TEST_P(Ranks, NothingIsUpdatedByAGradientThatIsNotFinite) {
  const int size = GetParam();
  const std::string token = new_token();
  expect_all_good(run_processes(size, [&](int rank) {
    const auto exchange = opened(one_node(token, rank, size));
    const std::vector<float> before(exchange->parameters(), exchange->parameters() + some_layout().elements);
    for (std::size_t i = 0; i < before.size(); ++i) exchange->gradients()[i] = 1;
    if (rank == size - 1) exchange->gradients()[4321] = std::numeric_limits<float>::infinity();
    StepRequest request;
    request.check_finite = true;
    request.decide = [](std::span<const double>) { return Decision{true, 1, sgd(1)}; };
    EXPECT_FALSE(exchange->step(request).updated);
    expect_bits(exchange->parameters(), before);
    EXPECT_TRUE(take_step(*exchange, 1, 0, true).updated);
  }));
}

TEST_P(Ranks, SmallVectorsAreSummedInOrderOfRank) {
  const int size = GetParam();
  const std::string token = new_token();
  expect_all_good(run_processes(size, [&](int rank) {
    const auto exchange = open_shared_exchange(one_node(token, rank, size), some_layout(), 0);
    std::vector<double> values(10'000), expected(10'000);
    std::vector<float> means(10'000);
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (int r = 0; r < size; ++r) expected[i] += gradient(0, r, i) / 3.0;
      values[i] = gradient(0, rank, i) / 3.0;
      means[i] = static_cast<float>(rank) + static_cast<float>(i);
    }
    exchange->sum(values, "values");
    EXPECT_EQ(values, expected);
    exchange->mean(means, "means");
    EXPECT_EQ(means[7], static_cast<float>(size - 1) / 2 + 7);
    EXPECT_EQ(exchange->least(10 - rank, "least"), 11 - size);
    exchange->barrier("end");
  }));
}

TEST_P(Ranks, AShardIsReadAndWritten) {
  const int size = GetParam();
  const std::string token = new_token();
  expect_all_good(run_processes(size, [&](int rank) {
    const auto exchange = opened(one_node(token, rank, size));
    std::vector<double> covered(some_layout().elements);
    std::size_t elements = 0;
    for (const Slice& part : exchange->shard()) {
      elements += part.size();
      for (std::size_t i = part.begin; i < part.end; ++i) covered[i] = 1;
    }
    exchange->sum(covered, "covered");
    EXPECT_EQ(covered, std::vector<double>(covered.size(), 1.0)); // by one rank each
    take_step(*exchange, 1);
    std::vector<float> parameters(elements), momentum(elements);
    exchange->read_shard(-1, parameters);
    exchange->read_shard(0, momentum);
    std::size_t at = 0;
    for (const Slice& part : exchange->shard())
      for (std::size_t i = part.begin; i < part.end; ++i, ++at) ASSERT_EQ(parameters[at], exchange->parameters()[i]);
    take_step(*exchange, 2);
    const std::vector<float> after(exchange->parameters(), exchange->parameters() + some_layout().elements);
    exchange->barrier("read");
    exchange->write_shard(-1, parameters);
    exchange->write_shard(0, momentum);
    exchange->barrier("written");
    take_step(*exchange, 2);
    expect_bits(exchange->parameters(), after);
    EXPECT_THAT(error_of([&] { exchange->read_shard(1, momentum); }), HasSubstr("no shard"));
    exchange->barrier("end");
  }));
}

TEST(SharedExchange, AMissingRankIsNamedInTime) {
  const std::string token = new_token();
  const MeetingPoint all(3);
  expect_all_good(run_processes(3, [&](int rank) {
    all.meet(); // no process starts so late that the others give it up
    const auto exchange = open_shared_exchange(one_node(token, rank, 3, 0.5), some_layout(), 0);
    if (rank != 1) {
      const std::string error = error_of([&] { exchange->barrier("lunch"); });
      EXPECT_THAT(error, HasSubstr("lunch: after 0.5 s still waiting for rank 1 on host1 (last seen in: meeting"));
    }
    all.meet();
    if (rank == 1) {
      EXPECT_THAT(error_of([&] { exchange->barrier("late"); }), HasSubstr("rank 1 on host1"));
    }
  }));
}

TEST(SharedExchange, ARankThatNeverComesIsNamed) {
  const std::string token = new_token();
  expect_all_good(run_processes(2, [&](int rank) {
    const auto spec = one_node(token, rank + 1, 4, 0.5);
    const std::string error = error_of([&] { open_shared_exchange(spec, some_layout(), 0); });
    EXPECT_THAT(error, HasSubstr("for rank 0 on host0 to make shared memory"));
  }));
  expect_all_good(run_processes(2, [&](int rank) {
    const std::string error = error_of([&] { open_shared_exchange(one_node(token, rank, 3, 0.5), some_layout(), 0); });
    EXPECT_THAT(error, HasSubstr("rank 2 on host2"));
  }));
}

TEST(SharedExchange, ARankThatWasKilledIsNamedAtOnce) {
  const std::string token = new_token();
  const auto statuses = run_processes(
      3,
      [&](int rank) {
        const auto exchange = open_shared_exchange(one_node(token, rank, 3, 40), some_layout(), 0);
        exchange->barrier("start");
        if (rank == 2) raise(SIGKILL);
        const std::string error = error_of([&] { exchange->barrier("lunch"); });
        EXPECT_THAT(error, HasSubstr("lunch: rank 2 on host2 has ended"));
      },
      20);
  EXPECT_EQ(statuses[0], 0);
  EXPECT_EQ(statuses[1], 0);
}

TEST(SharedExchange, AbortWakesEverybody) {
  const std::string token = new_token();
  const MeetingPoint all(4);
  expect_all_good(run_processes(
      4,
      [&](int rank) {
        const auto exchange = open_shared_exchange(one_node(token, rank, 4, 40), some_layout(), 0);
        all.meet(); // the others are about to wait
        if (rank == 3) exchange->abort("rank 3: no memory");
        EXPECT_EQ(error_of([&] { exchange->barrier("lunch"); }), "rank 3: no memory");
        EXPECT_EQ(error_of([&] { exchange->barrier("dinner"); }), "rank 3: no memory");
        all.meet(); // leaving is noticed as well, but must not come first
      },
      20));
}

TEST(SharedExchange, AnotherNetworkIsRefused) {
  const std::string token = new_token();
  const MeetingPoint all(2);
  expect_all_good(run_processes(2, [&](int rank) {
    FlatLayout layout = some_layout();
    if (rank == 1) layout.buckets.pop_back();
    const std::string error = error_of([&] { open_shared_exchange(one_node(token, rank, 2), layout, 0); });
    EXPECT_THAT(error, HasSubstr("rank 1 on host1 has another network than rank 0 on host0"));
    all.meet();
  }));
}

// One mapping for all, so that the thread sanitizer sees every access.
TEST(SharedExchange, ThreadsAsRanks) {
  constexpr int size = 3;
  constexpr int steps = 20;
  const auto expected = serial(size, steps, 1.0 / size);
  const NodeMap map(some_layout(), size, 0);
  const auto memory = std::make_shared<wire::NodeMemory>(wire::NodeMemory::anonymous(map.size_bytes));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      SharedSpec spec = one_node("", rank, size);
      spec.memory = memory;
      const auto exchange = opened(spec);
      for (int step = 1; step <= steps; ++step) take_step(*exchange, step, step % 2 == 0 ? 1e9 : 0);
      expect_bits(exchange->parameters(), expected);
      exchange->barrier("comparing");
    });
  for (auto& thread : threads) thread.join();
}

} // namespace
} // namespace mgpu::worker::collective
