// Optimizer steps against torch.optim, and the fast kernels against the portable ones.
#include "worker/collective/optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <string>

#include "worker/collective/kernels.hpp"

namespace mgpu::worker::collective {
namespace {

constexpr std::size_t elements = 1000;
constexpr int steps = 20;
// PyTorch fuses some products with sums where the processor can, which rounds once instead of twice: a few units in the last place
// of a float32, growing by as much each step.
constexpr double tolerance = steps * 1.2e-7;

struct Case {
  std::string name;
  Hyper hyper;
  std::vector<float> rows;
  const float* row(int i) const { return rows.data() + static_cast<std::size_t>(i) * elements; }
};

std::vector<Case> read_cases() {
  const std::string folder = MGPU_COLLECTIVE_REFERENCES;
  std::vector<Case> cases;
  std::ifstream table(folder + "/cases.tsv");
  Case next;
  std::string kind;
  Hyper& h = next.hyper;
  while (table >> next.name >> kind >> h.lr >> h.weight_decay >> h.momentum >> h.nesterov >> h.beta1 >> h.beta2 >> h.eps) {
    h.kind = kind == "sgd" ? OptimizerKind::sgd : OptimizerKind::adamw;
    next.rows.resize((1 + 2 * steps) * elements);
    std::ifstream file(folder + "/" + next.name + ".bin", std::ios::binary);
    file.read(reinterpret_cast<char*>(next.rows.data()), static_cast<std::streamsize>(next.rows.size() * sizeof(float)));
    EXPECT_TRUE(file) << next.name;
    cases.push_back(next);
  }
  return cases;
}

TEST(Optimizer, EqualsPyTorch) {
  const auto cases = read_cases();
  ASSERT_EQ(cases.size(), 6u);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Optimizer optimizer({{100, 200}});
    std::vector<float> parameters(c.row(0), c.row(1));
    std::vector<float> first(elements, NAN), second(elements, NAN); // step 1 begins from nothing
    for (int step = 1; step <= steps; ++step) {
      Hyper hyper = c.hyper;
      hyper.lr /= step;
      hyper.step = static_cast<std::uint64_t>(step);
      const float* gradients = c.row(2 * step - 1);
      // Cut as ranks and buckets would.
      for (const Slice& slice : {Slice{0, 96}, Slice{96, 608}, Slice{608, elements}})
        optimizer.update(hyper, 1, slice,
                         {{&gradients, 1}, parameters.data(), {first.data() + slice.begin, second.data() + slice.begin}});
      for (std::size_t i = 0; i < elements; ++i)
        ASSERT_NEAR(parameters[i], c.row(2 * step)[i], tolerance * std::max(1.0F, std::abs(parameters[i])))
            << "step " << step << ", " << i;
    }
  }
}

class Bits : public testing::Test {
 protected:
  static constexpr std::size_t size = 4099;
  std::vector<float> random(int seed) const {
    std::mt19937 generator(static_cast<unsigned>(seed));
    std::normal_distribution<float> normal;
    std::vector<float> values(size);
    for (float& value : values) value = normal(generator);
    return values;
  }
  static void expect_same(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(std::memcmp(a.data(), b.data(), size * sizeof(float)), 0);
  }
};

TEST_F(Bits, FastKernelsGiveThemAsPortableOnes) {
  const auto gradients = random(1);
  for (const bool nesterov : {false, true})
    for (const bool with_momentum : {false, true}) {
      auto momentum = random(2), parameters = random(3);
      auto momentum2 = momentum, parameters2 = parameters;
      const SgdFactors factors{0.01F, 0.9F, nesterov, -0.1F};
      kernels().sgd(factors, gradients.data(), with_momentum ? momentum.data() : nullptr, parameters.data(), size);
      portable_kernels().sgd(factors, gradients.data(), with_momentum ? momentum2.data() : nullptr, parameters2.data(), size);
      expect_same(momentum, momentum2);
      expect_same(parameters, parameters2);
    }
  auto first = random(4), second = random(5), parameters = random(6);
  for (float& value : second) value *= value;
  auto first2 = first, second2 = second, parameters2 = parameters;
  const AdamwFactors factors{0.999F, 0.1F, 0.999F, 0.001F, 30.0F, 1e-8F, -0.01F};
  kernels().adamw(factors, gradients.data(), first.data(), second.data(), parameters.data(), size);
  portable_kernels().adamw(factors, gradients.data(), first2.data(), second2.data(), parameters2.data(), size);
  expect_same(first, first2);
  expect_same(second, second2);
  expect_same(parameters, parameters2);
  EXPECT_EQ(kernels().squares(gradients.data(), size), portable_kernels().squares(gradients.data(), size));
}

TEST_F(Bits, SumsAreInOrderAndMayBeInPlace) {
  for (std::size_t count = 1; count <= 5; ++count)
    for (std::size_t place = 0; place < count; ++place) {
      std::vector<std::vector<float>> arrays;
      std::vector<const float*> sources;
      for (std::size_t k = 0; k < count; ++k) arrays.push_back(random(static_cast<int>(k)));
      for (const auto& array : arrays) sources.push_back(array.data());
      std::vector<float> expected = arrays[0];
      for (std::size_t i = 3; i < size; ++i) {
        for (std::size_t k = 1; k < count; ++k) expected[i] += arrays[k][i];
        expected[i] *= 0.3F;
      }
      std::copy_n(arrays[place].begin(), 3, expected.begin()); // before `at`: untouched
      kernels().sum(sources.data(), count, 3, size - 3, 0.3F, arrays[place].data() + 3);
      expect_same(arrays[place], expected);
    }
}

} // namespace
} // namespace mgpu::worker::collective
