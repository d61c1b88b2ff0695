#include "worker/train/checkpoint/rank_part.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mgpu/error.hpp"
#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Keeps elements [2, 5) of parameters and of one optimizer state.
class ShardedExchange final : public NotingExchange {
 public:
  ShardedExchange() : NotingExchange(8) {}
  std::map<int, std::vector<float>> arrays;
  std::vector<collective::Slice> shard() const override { return {{2, 5}}; }
  void read_shard(int state, std::span<float> out) override { std::copy_n(arrays.at(state).begin(), out.size(), out.begin()); }
  void write_shard(int state, std::span<const float> in) override { arrays[state].assign(in.begin(), in.end()); }
};

Restored as_restored(const Part& part) {
  return {part.state, part.arrays, part.tensors};
}

std::string error_of(const Restored& restored, int states, const std::vector<NamedTensor>& unsharded) {
  ShardedExchange exchange;
  try {
    put_back(restored, "FOLDER", exchange, states, unsharded);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(RankPart, IsPutBackAsItWas) {
  RankContext context;
  context.rank = 1;
  context.world_size = 2;
  ShardedExchange exchange;
  exchange.arrays = {{-1, {1, 2, 3}}, {0, {4, 5, 6}}};
  torch::Tensor mean = torch::tensor({7.0f, 8.0f});
  const Part part = collect_part(context, exchange, 8, 1, {{"mean", mean}});
  EXPECT_EQ(part.rank, 1);
  EXPECT_EQ(part.world_size, 2);
  EXPECT_EQ(part.elements, 8u);
  EXPECT_THAT(part.slices, ElementsAre(collective::Slice{2, 5}));
  EXPECT_THAT(part.arrays, ElementsAre(ElementsAre(1, 2, 3), ElementsAre(4, 5, 6)));

  mean.zero_(); // the part has copies
  ShardedExchange other;
  put_back(as_restored(part), "FOLDER", other, 1, {{"mean", mean}});
  EXPECT_EQ(other.arrays, exchange.arrays);
  EXPECT_TRUE(torch::equal(mean, torch::tensor({7.0f, 8.0f})));
}

TEST(RankPart, OfAnotherOptimizerOrNetworkIsRefused) {
  const std::vector<NamedTensor> here{{"mean", torch::zeros({2})}};
  const Restored one_state{{}, {{1, 2, 3}, {4, 5, 6}}, here};
  EXPECT_EQ(error_of(one_state, 1, here), "");
  EXPECT_THAT(error_of(one_state, 2, here), HasSubstr("the checkpoint FOLDER was made with another --optimizer or --momentum"));
  EXPECT_THAT(error_of(one_state, 1, {{"variance", torch::zeros({2})}}),
              HasSubstr("the checkpoint FOLDER does not have variance"));
  EXPECT_THAT(error_of(one_state, 1, {{"mean", torch::zeros({3})}}), HasSubstr("does not have mean"));
}

} // namespace
} // namespace mgpu::worker::train
