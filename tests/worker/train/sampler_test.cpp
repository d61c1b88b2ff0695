#include "worker/train/sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mgpu/error.hpp"

namespace mgpu::worker::train {
namespace {

std::vector<std::uint64_t> epoch_of(const Sampler& sampler, std::uint64_t epoch) {
  std::vector<std::uint64_t> order(sampler.size());
  for (std::uint64_t i = 0; i < order.size(); ++i) order[i] = sampler.order(epoch, i);
  return order;
}

std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> values) {
  std::sort(values.begin(), values.end());
  return values;
}

/// How many standard deviations Σ (seen − expected)² / expected lies from its mean, for many cells.
double chi_square_sigmas(const std::vector<double>& seen, double expected, double degrees) {
  double sum = 0;
  for (const double count : seen) sum += (count - expected) * (count - expected) / expected;
  return (sum - degrees) / std::sqrt(2 * degrees);
}

TEST(Sampler, VisitsEveryItemOnceAnEpoch) {
  for (const std::uint64_t size : {1, 2, 3, 4, 5, 7, 10, 16, 17, 64, 100, 255, 256, 257, 1000, 4096, 10007}) {
    std::vector<std::uint64_t> all(size);
    std::iota(all.begin(), all.end(), 0);
    for (const std::uint64_t epoch : {0, 1, 89}) EXPECT_EQ(sorted(epoch_of(Sampler(size, 7, true), epoch)), all) << size;
  }
  EXPECT_EQ(Sampler(0, 7, true).size(), 0u);
}

TEST(Sampler, EpochsAndSeedsDiffer) {
  const Sampler sampler(1000, 1, true), other(1000, 2, true);
  EXPECT_EQ(epoch_of(sampler, 3), epoch_of(Sampler(1000, 1, true), 3)) << "a seed and an epoch say the order";
  const auto common = [](const auto& a, const auto& b) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
    return same;
  };
  // Two independent orders agree in one place on average.
  EXPECT_LT(common(epoch_of(sampler, 0), epoch_of(sampler, 1)), 8u);
  EXPECT_LT(common(epoch_of(sampler, 0), epoch_of(other, 0)), 8u);
  EXPECT_NE(visit_seed(1, 2, 3), visit_seed(1, 3, 2));
  EXPECT_NE(visit_seed(1, 2, 3), visit_seed(2, 2, 3));
}

TEST(Sampler, EveryItemIsEquallyLikelyAtEveryPosition) {
  for (const std::uint64_t size : {2, 5, 12, 50}) {
    const Sampler sampler(size, 11, true);
    constexpr std::uint64_t epochs = 5000;
    std::vector<double> seen(size * size);
    for (std::uint64_t epoch = 0; epoch < epochs; ++epoch)
      for (std::uint64_t i = 0; i < size; ++i) ++seen[i * size + sampler.order(epoch, i)];
    const double n = static_cast<double>(size);
    EXPECT_LT(std::fabs(chi_square_sigmas(seen, epochs / n, (n - 1) * (n - 1))), 4) << size;
  }
}

TEST(Sampler, NeighboursAreIndependent) {
  // All 24 orders of four items, and pairs (item at 0, item at 1) of seven.
  const Sampler four(4, 5, true), seven(7, 5, true);
  std::vector<double> orders(256), pairs(49);
  constexpr std::uint64_t epochs = 24000;
  for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
    ++orders[four.order(epoch, 0) * 64 + four.order(epoch, 1) * 16 + four.order(epoch, 2) * 4 + four.order(epoch, 3)];
    ++pairs[seven.order(epoch, 0) * 7 + seven.order(epoch, 1)];
  }
  std::erase(orders, 0);
  std::erase(pairs, 0);
  ASSERT_EQ(orders.size(), 24u);
  ASSERT_EQ(pairs.size(), 42u);
  EXPECT_LT(std::fabs(chi_square_sigmas(orders, epochs / 24.0, 23)), 4);
  EXPECT_LT(std::fabs(chi_square_sigmas(pairs, epochs / 42.0, 41)), 4);
}

TEST(Sampler, WithoutShufflingIsTheManifestsOrder) {
  const Sampler sampler(100, 3, false);
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(sampler.order(i % 4, i), i);
}

TEST(Sampler, ASubsetIsTheSameEveryEpochAndPartOfALargerOne) {
  const Sampler quarter(1001, 9, true, 0.25), half(1001, 9, true, 0.5), in_order(1001, 9, false, 0.25);
  ASSERT_EQ(quarter.size(), 250u);
  const auto chosen = sorted(epoch_of(quarter, 0));
  EXPECT_EQ(chosen, sorted(epoch_of(quarter, 5)));
  EXPECT_NE(epoch_of(quarter, 0), epoch_of(quarter, 5));
  EXPECT_EQ(chosen, epoch_of(in_order, 2)) << "ascending";
  const auto larger = sorted(epoch_of(half, 1));
  EXPECT_TRUE(std::includes(larger.begin(), larger.end(), chosen.begin(), chosen.end()));
  EXPECT_EQ(Sampler(3, 9, true, 0.01).size(), 1u);
  EXPECT_THROW(Sampler(3, 9, true, 0), Error);
  EXPECT_THROW(Sampler(3, 9, true, 1.5), Error);
}

TEST(Share, PartitionsExactly) {
  for (const std::uint64_t samples : {0, 1, 3, 7, 64, 1000})
    for (const std::uint64_t world : {1, 2, 3, 4, 7, 64}) {
      std::uint64_t next = 0;
      for (std::uint64_t rank = 0; rank < world; ++rank) {
        const Range part = share(samples, rank, world);
        EXPECT_EQ(part.begin, next);
        EXPECT_LE(part.size(), samples / world + 1);
        EXPECT_GE(part.size(), samples / world);
        next = part.end;
      }
      EXPECT_EQ(next, samples);
    }
}

} // namespace
} // namespace mgpu::worker::train
