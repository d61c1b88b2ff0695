// PyTorch's fused kernels over flat views, on the CPU, against the optimizer of ranks on CPUs.
#include "worker/collective_cuda/device_optimizer.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

#include "mgpu/error.hpp"
#include "worker/collective/optimizer.hpp"

namespace mgpu::worker::collective {
namespace {

constexpr std::int64_t elements = 1000;
const std::vector<Slice> undecayed{{0, 20}, {90, 310}, {999, 1000}};
/// Two buckets out of order, with a hole that is another rank's.
const std::vector<Slice> shares{{300, 1000}, {0, 200}};

void expect_equal_steps(const Hyper& hyper) {
  torch::manual_seed(3);
  const torch::Tensor parameters = torch::randn({elements});
  const torch::Tensor gradients = torch::zeros({elements});
  torch::Tensor expected = parameters.clone();
  DeviceOptimizer device(parameters, gradients, shares, undecayed, states_of(hyper));
  const Optimizer host(undecayed);
  std::vector<float> states[2] = {std::vector<float>(elements), std::vector<float>(elements)};
  for (std::uint64_t step = 1; step <= 10; ++step) {
    gradients.copy_(torch::randn({elements}));
    const torch::Tensor kept = gradients.clone(); // PyTorch's kernels write the scaled gradients back
    Hyper now = hyper;
    now.step = step;
    device.update(now, 0.25);
    const float* source = kept.const_data_ptr<float>();
    for (const Slice& share : shares)
      host.update(now, 0.25, share,
                  {{&source, 1}, expected.data_ptr<float>(), {states[0].data() + share.begin, states[1].data() + share.begin}});
    ASSERT_TRUE(torch::allclose(parameters, expected, 1e-5, 1e-6)) << "step " << step;
  }
}

TEST(DeviceOptimizer, StepsEqualThoseOnACpu) {
  Hyper hyper;
  hyper.lr = 0.01;
  hyper.weight_decay = 0.1;
  expect_equal_steps(hyper);
  hyper.momentum = 0.9;
  expect_equal_steps(hyper);
  hyper.nesterov = true;
  expect_equal_steps(hyper);
  hyper.kind = OptimizerKind::adamw;
  expect_equal_steps(hyper);
}

TEST(DeviceOptimizer, AShardIsReadAndWritten) {
  const torch::Tensor parameters = torch::arange(elements, torch::kFloat);
  DeviceOptimizer optimizer(parameters, torch::zeros({elements}), shares, undecayed, 1);
  EXPECT_EQ(optimizer.shard(), (std::vector<Slice>{{0, 200}, {300, 1000}}));
  std::vector<float> values(900);
  optimizer.read(-1, values);
  EXPECT_EQ(values[199], 199);
  EXPECT_EQ(values[200], 300);
  values[200] = 7;
  optimizer.write(-1, values);
  EXPECT_EQ(parameters[300].item<float>(), 7);
  optimizer.write(0, values);
  std::vector<float> state(900);
  optimizer.read(0, state);
  EXPECT_EQ(state, values);
  EXPECT_THROW(optimizer.read(1, state), Error);
  state.pop_back();
  EXPECT_THROW(optimizer.read(0, state), Error);
}

} // namespace
} // namespace mgpu::worker::collective
